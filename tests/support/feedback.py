"""Feedback on papers, as the tests record it and as the ranking reads it."""

from uuid import UUID

from supabase import AsyncClient

from app.models.profiles import RatedPaper
from app.persistence.items import Items
from app.persistence.reader_papers import Paper, ReaderPapers


async def rate(papers: ReaderPapers, reader_id: UUID, paper: Paper, liked: bool | None) -> UUID | None:
    """Record that a reader likes a paper or dislikes it; None removes the feedback."""
    (paper_id,) = await papers.put(reader_id, [(paper, {"liked": liked})])
    return paper_id


async def rated(client: AsyncClient, reader_id: UUID) -> tuple[RatedPaper, ...]:
    """The rated papers that a digest written now would use."""
    return (await Items(client).new_items_for(reader_id)).papers
