"""What tests say of papers by one vote, and what the ranking then learns from."""

from uuid import UUID

from supabase import AsyncClient

from app.models import RatedPaper
from app.persistence.items import Items
from app.persistence.reader_papers import Paper, ReaderPapers


async def rate(papers: ReaderPapers, reader_id: UUID, paper: Paper, liked: bool | None) -> UUID | None:
    """Note that a reader likes a paper or does not; None takes the vote back."""
    (paper_id,) = await papers.put(reader_id, [(paper, {"liked": liked})])
    return paper_id


async def rated(client: AsyncClient, reader_id: UUID) -> tuple[RatedPaper, ...]:
    """What a digest that is written now is given."""
    return (await Items(client).new_items_for(reader_id)).papers
