"""Readers' papers: what each reader liked or not, and saved; each paper once, whatever names it goes by."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypedDict
from uuid import UUID

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.errors import PaperNotFound, ReaderNotFound, SupabaseRejected, TooManyPapers
from app.models import ArticleKind, Frozen
from app.persistence.errors import VOID, parsed, supabase_errors
from app.persistence.json_values import clean
from app.persistence.paging import cursor_of, read_cursor

MOST_AT_ONCE: Final = 500
MAX_PAGE: Final = 100
MOST_KEYS: Final = 20
TOO_MANY: Final = "P0001"


class PaperInput(Frozen):
    """A paper of which a reader says something: its names (`item_keys`, strongest first), and what is known of it.

    `origin` is an article's source, or `given`. `vector` is its words (`app.ranking.vectors.vector_of`), empty where
    there are none. `app.ranking.reader_paper.paper_of` makes one of an article.
    """

    keys: tuple[str, ...]
    kind: ArticleKind = ArticleKind.PAPER
    title: str | None = None
    abstract: str = ""
    authors: tuple[str, ...] = ()
    url: str | None = None
    published_at: datetime | None = None
    arxiv_id: str | None = None
    doi: str | None = None
    origin: str = "given"
    vector: str = ""


class ReaderPaper(Frozen):
    """A paper that a reader rated or saved. Without a title, nothing but its arXiv id or DOI is known (yet).

    `looked_up_at`: when arXiv answered what it knows of it. Times are the database's.
    """

    paper_id: UUID
    kind: ArticleKind
    title: str | None = None
    abstract: str
    authors: tuple[str, ...]
    url: str | None = None
    published_at: datetime | None = None
    arxiv_id: str | None = None
    doi: str | None = None
    origin: str
    liked: bool | None = None
    rated_at: datetime | None = None
    saved_at: datetime | None = None
    looked_up_at: datetime | None = None
    created_at: datetime


class PaperPage(Frozen):
    """A page of a reader's papers; `next_cursor` leads to the next one, None on the last."""

    papers: tuple[ReaderPaper, ...]
    next_cursor: str | None


class Feedback(Frozen):
    """What a reader said of an item; all is None or False where that is nothing."""

    paper_id: UUID | None = None
    liked: bool | None = None
    saved: bool = False


class FeedbackChange(TypedDict, total=False):
    """What a reader says of a paper: what is left out stays as it was, and `liked` None takes a vote back."""

    liked: bool | None
    saved: bool


Paper = PaperInput | UUID
"""A paper by its names, or by the `paper_id` that one of the reader's papers has."""

_IDS = TypeAdapter(list[UUID | None] | None)
_SAID = TypeAdapter(list[Feedback])
_PAPERS = TypeAdapter(list[ReaderPaper])
_NAMES = TypeAdapter(list[str])


class ReaderPapers:
    """Keeps what readers say of papers. A paper of which nothing is said any more is gone."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def put(self, reader_id: UUID, feedback: Sequence[tuple[Paper, FeedbackChange]]) -> list[UUID | None]:
        """Note what a reader says of papers (`MOST_AT_ONCE`), all or nothing; again changes nothing, times included.

        Answers their ids, in order; None where no feedback remains, or a `paper_id` is none of the reader's.
        Raises `ReaderNotFound`, `TooManyPapers`, `SupabaseError`.
        """
        parameters = {"p_reader": str(reader_id), "p_papers": [_row(paper, says) for paper, says in feedback]}
        try:
            with supabase_errors(f"keep {len(feedback)} paper(s) of reader {reader_id}"):
                answer = await self._client.rpc("upsert_reader_papers", parameters).execute()
        except SupabaseRejected as error:
            if error.code == TOO_MANY:
                raise TooManyPapers(str(error)) from error
            raise
        ids = parsed(_IDS, answer.data)
        if ids is None:
            raise ReaderNotFound(f"There is no reader {reader_id}: it was never made, or was removed.")
        return ids

    async def save(self, reader_id: UUID, paper: Paper, saved: bool) -> UUID | None:
        """Save a paper for a reader, or let it go. See `put`."""
        (paper_id,) = await self.put(reader_id, [(paper, {"saved": saved})])
        return paper_id

    async def of(self, reader_id: UUID, items: Sequence[Sequence[str]]) -> list[Feedback]:
        """What a reader said of items, each given by its keys (`item_keys`); in their order. Raises `SupabaseError`."""
        parameters = {"p_reader": str(reader_id), "p_items": [list(keys)[:MOST_KEYS] for keys in items]}
        with supabase_errors(f"read what reader {reader_id} said of {len(items)} item(s)"):
            answer = await self._client.rpc("paper_feedback", parameters).execute()
        return parsed(_SAID, answer.data)

    async def get(self, reader_id: UUID, paper_id: UUID) -> ReaderPaper:
        """Read one of a reader's papers. Raises `PaperNotFound`, also for another reader's, and `SupabaseError`."""
        query = self._client.table("reader_papers").select(",".join(ReaderPaper.model_fields))
        with supabase_errors(f"read paper {paper_id}"):
            answer = await query.eq("reader_id", str(reader_id)).eq("paper_id", str(paper_id)).limit(1).execute()
        found = parsed(_PAPERS, answer.data)
        if not found:
            raise PaperNotFound(f"The reader has no paper {paper_id}: it was never kept, or was removed.")
        return found[0]

    async def remove(self, reader_id: UUID, paper_id: UUID) -> None:
        """Forget one of a reader's papers, and all that was said of it. Raises `SupabaseError`."""
        query = self._client.table("reader_papers").delete()
        with supabase_errors(f"remove paper {paper_id}"):
            await query.eq("reader_id", str(reader_id)).eq("paper_id", str(paper_id)).execute()

    async def page(self, reader_id: UUID, *, limit: int = 50, cursor: str | None = None) -> PaperPage:
        """List a reader's papers, newest first, up to `limit` (1 to 100) a page.

        Raises `InvalidCursor` for a cursor that no page gave, and `SupabaseError`.
        """
        return await self._page(reader_id, limit, cursor, saved=False)

    async def saved(self, reader_id: UUID, *, limit: int = 50, cursor: str | None = None) -> PaperPage:
        """List what a reader saved, last saved first. As `page`."""
        return await self._page(reader_id, limit, cursor, saved=True)

    async def to_look_up(self, limit: int) -> list[str]:
        """The arXiv ids of papers of which arXiv is to be asked, the oldest first. Raises `SupabaseError`."""
        with supabase_errors("read which papers are to be looked up"):
            answer = await self._client.rpc("papers_to_look_up", {"p_limit": limit}).execute()
        return parsed(_NAMES, answer.data)

    async def record_looked_up(self, asked: Sequence[str], found: Sequence[PaperInput]) -> None:
        """Note what arXiv answered when it was asked for these ids; none is asked for again. Raises `SupabaseError`."""
        parameters = {"p_arxiv_ids": list(asked), "p_papers": [_row(paper, {}) for paper in found]}
        with supabase_errors(f"note what arXiv said of {len(asked)} papers"):
            answer = await self._client.rpc("record_looked_up", parameters).execute()
        parsed(VOID, answer.data)

    async def _page(self, reader_id: UUID, limit: int, cursor: str | None, *, saved: bool) -> PaperPage:
        size = min(max(limit, 1), MAX_PAGE)
        before, before_id = read_cursor(cursor) if cursor is not None else (None, None)
        parameters: dict[str, Any] = {
            "p_reader": str(reader_id),
            "p_saved": saved,
            "p_before": before.isoformat() if before else None,
            "p_before_id": str(before_id) if before_id else None,
            "p_limit": size + 1,
        }
        with supabase_errors(f"list the papers of reader {reader_id}"):
            answer = await self._client.rpc("list_reader_papers", parameters).execute()
        found = parsed(_PAPERS, answer.data)
        if len(found) <= size:
            return PaperPage(papers=tuple(found), next_cursor=None)
        last = found[size - 1]
        moment = last.saved_at if saved and last.saved_at else last.created_at
        return PaperPage(papers=tuple(found[:size]), next_cursor=cursor_of(moment, last.paper_id))


def _row(paper: Paper, says: FeedbackChange) -> dict[str, Any]:
    """What upsert_reader_paper() takes."""
    if isinstance(paper, UUID):
        return {"paper_id": str(paper), "keys": [], **says}
    row: dict[str, Any] = clean(paper.model_dump(mode="json"))
    return row | {"keys": row["keys"][:MOST_KEYS], **says}
