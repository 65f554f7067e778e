"""Readers' papers: which papers each reader liked, disliked and saved. Each paper is stored once for all its keys."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypedDict
from uuid import UUID

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.errors import PaperNotFound, ReaderNotFound, SupabaseRejected, TooManyPapers
from app.models.articles import ArticleKind, Publication
from app.models.values import Frozen
from app.persistence.errors import VOID, parsed, supabase_errors
from app.persistence.json_values import clean
from app.persistence.paging import decode_cursor, encode_cursor

MAX_PAPERS_PER_CALL: Final = 500
MAX_PAGE: Final = 100
MAX_KEYS: Final = 20
TOO_MANY: Final = "P0001"
LIBRARY: Final = "library"
"""The origin of papers that an import added: `rated_papers()` selects from them by other rules."""


class PaperInput(Frozen):
    """A paper on which a reader gives feedback: its keys (`item_keys`, strongest first) and its known metadata.

    `origin` is an article's source, `manual`, `library` (of an import) or `zotero` (of a connected library). `vector`
    is its term vector (`app.ranking.vectors.vector_of`), empty if it has no terms.
    `app.ranking.reader_paper.paper_of` converts an article.
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
    origin: str = "manual"
    vector: str = ""
    publication: Publication | None = None


class ReaderPaper(Frozen):
    """A paper that a reader rated or saved. Without a title, only its arXiv id or DOI is known (yet).

    `looked_up_at`: when it was looked up at arXiv or Crossref. Times are the database's.
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
    publication: Publication | None = None
    rated_at: datetime | None = None
    saved_at: datetime | None = None
    looked_up_at: datetime | None = None
    created_at: datetime


class OutdatedPaper(Frozen):
    """A paper whose vector is to be made again, with the text that it is made of."""

    paper_id: UUID
    title: str | None = None
    abstract: str


class PaperPage(Frozen):
    """A reader's papers, and the cursor of the next page (None on the last page)."""

    papers: tuple[ReaderPaper, ...]
    next_cursor: str | None


class Feedback(Frozen):
    """A reader's feedback on an item; all fields are None or False if there is none."""

    paper_id: UUID | None = None
    liked: bool | None = None
    saved: bool = False


class FeedbackChange(TypedDict, total=False):
    """A change of a reader's feedback on a paper. Missing keys stay unchanged; `liked` None removes the rating."""

    liked: bool | None
    saved: bool


class BulkFeedback(StrEnum):
    """One feedback for all papers of a library."""

    LIKED = "liked"
    DISLIKED = "disliked"
    SAVED = "saved"

    @property
    def change(self) -> FeedbackChange:
        """The change to store."""
        return {"saved": True} if self is BulkFeedback.SAVED else {"liked": self is BulkFeedback.LIKED}


Paper = PaperInput | UUID
"""A paper by its keys, or by the `paper_id` of one of the reader's papers."""

_IDS = TypeAdapter(list[UUID | None] | None)
_FEEDBACK = TypeAdapter(list[Feedback])
_PAPERS = TypeAdapter(list[ReaderPaper])
_NAMES = TypeAdapter(list[str])
_OUTDATED = TypeAdapter(list[OutdatedPaper])
_COUNT = TypeAdapter(int)
_TEXT = TypeAdapter(str)


class ReaderPapers:
    """Stores readers' feedback on papers. A paper without any feedback is removed."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def put(self, reader_id: UUID, feedback: Sequence[tuple[Paper, FeedbackChange]]) -> list[UUID | None]:
        """Record a reader's feedback on up to `MAX_PAPERS_PER_CALL` papers, all or none. Idempotent, times included.

        Returns their ids in order; None if the paper has no feedback now, or the reader has no paper of that
        `paper_id`. Raises `ReaderNotFound`, `TooManyPapers`, `SupabaseError`.
        """
        parameters = {"p_reader": str(reader_id), "p_papers": [paper_row(paper, change) for paper, change in feedback]}
        try:
            with supabase_errors(f"store {len(feedback)} paper(s) of reader {reader_id}"):
                response = await self._client.rpc("upsert_reader_papers", parameters).execute()
        except SupabaseRejected as error:
            if error.code == TOO_MANY:
                raise TooManyPapers(str(error)) from error
            raise
        ids = parsed(_IDS, response.data)
        if ids is None:
            raise ReaderNotFound(f"There is no reader {reader_id}: it was never created, or was removed.")
        return ids

    async def save(self, reader_id: UUID, paper: Paper, saved: bool) -> UUID | None:
        """Save a paper for a reader, or remove it from the saved ones. See `put`."""
        (paper_id,) = await self.put(reader_id, [(paper, {"saved": saved})])
        return paper_id

    async def feedback_on(self, reader_id: UUID, items: Sequence[Sequence[str]]) -> list[Feedback]:
        """Return a reader's feedback on items, given by their keys (`item_keys`), in order. Raises `SupabaseError`."""
        parameters = {"p_reader": str(reader_id), "p_items": [list(keys)[:MAX_KEYS] for keys in items]}
        with supabase_errors(f"read the feedback of reader {reader_id} on {len(items)} item(s)"):
            response = await self._client.rpc("paper_feedback", parameters).execute()
        return parsed(_FEEDBACK, response.data)

    async def get(self, reader_id: UUID, paper_id: UUID) -> ReaderPaper:
        """Read one of a reader's papers. Raises `PaperNotFound`, also for another reader's, and `SupabaseError`."""
        query = self._client.table("reader_papers").select(",".join(ReaderPaper.model_fields))
        with supabase_errors(f"read paper {paper_id}"):
            response = await query.eq("reader_id", str(reader_id)).eq("paper_id", str(paper_id)).limit(1).execute()
        found = parsed(_PAPERS, response.data)
        if not found:
            raise PaperNotFound(f"The reader has no paper {paper_id}: it was never stored, or was removed.")
        return found[0]

    async def remove(self, reader_id: UUID, paper_id: UUID) -> None:
        """Remove one of a reader's papers with its feedback. Raises `SupabaseError`."""
        query = self._client.table("reader_papers").delete()
        with supabase_errors(f"remove paper {paper_id}"):
            await query.eq("reader_id", str(reader_id)).eq("paper_id", str(paper_id)).execute()

    async def page(self, reader_id: UUID, *, limit: int = 50, cursor: str | None = None) -> PaperPage:
        """List a reader's papers, newest first, up to `limit` (1 to 100) a page.

        Raises `InvalidCursor` for a cursor that no page returned, and `SupabaseError`.
        """
        return await self._page(reader_id, limit, cursor, saved=False)

    async def saved(self, reader_id: UUID, *, limit: int = 50, cursor: str | None = None) -> PaperPage:
        """List a reader's saved papers, last saved first. See `page`."""
        return await self._page(reader_id, limit, cursor, saved=True)

    async def saved_pages(self, reader_id: UUID) -> AsyncIterator[tuple[ReaderPaper, ...]]:
        """Yield a reader's saved papers, first saved first, `MAX_PAGE` at a time. Raises `SupabaseError`."""
        last: ReaderPaper | None = None
        while True:
            parameters = {
                "p_reader": str(reader_id),
                "p_after": last.saved_at.isoformat() if last and last.saved_at else None,
                "p_after_id": str(last.paper_id) if last else None,
                "p_limit": MAX_PAGE,
            }
            with supabase_errors(f"read the saved papers of reader {reader_id}"):
                response = await self._client.rpc("list_saved_papers", parameters).execute()
            found = parsed(_PAPERS, response.data)
            if not found:
                return
            yield tuple(found)
            last = found[-1]

    async def saved_version(self, reader_id: UUID) -> str:
        """Return a text that changes when a saved paper of the reader changes. Raises `SupabaseError`."""
        with supabase_errors(f"read the version of the saved papers of reader {reader_id}"):
            response = await self._client.rpc("saved_papers_version", {"p_reader": str(reader_id)}).execute()
        return parsed(_TEXT, response.data)

    async def to_look_up(self, limit: int) -> list[str]:
        """Return the arXiv ids of papers that must be looked up, oldest first. Raises `SupabaseError`."""
        with supabase_errors("list the papers to look up"):
            response = await self._client.rpc("papers_to_look_up", {"p_limit": limit}).execute()
        return parsed(_NAMES, response.data)

    async def dois_to_look_up(self, limit: int) -> list[str]:
        """Return the DOIs to look up, of papers without an arXiv id, oldest first. Raises `SupabaseError`."""
        with supabase_errors("list the DOIs to look up"):
            response = await self._client.rpc("dois_to_look_up", {"p_limit": limit}).execute()
        return parsed(_NAMES, response.data)

    async def record_looked_up(
        self, ids: Sequence[str], found: Sequence[PaperInput], *, dois: Sequence[str] = ()
    ) -> None:
        """Record what arXiv found for these ids, or Crossref for these DOIs. None of them is looked up again.

        Raises `SupabaseError`.
        """
        rows = [paper_row(paper, {}) for paper in found]
        parameters = {"p_arxiv_ids": list(ids), "p_dois": list(dois), "p_papers": rows}
        with supabase_errors(f"record the look-up of {len(ids) + len(dois)} papers"):
            response = await self._client.rpc("record_looked_up", parameters).execute()
        parsed(VOID, response.data)

    async def outdated_vectors(self, mark: str, limit: int) -> list[OutdatedPaper]:
        """Papers of any reader whose vectors do not begin with `mark`. Raises `SupabaseError`."""
        with supabase_errors("read which vectors are outdated"):
            answer = await self._client.rpc("outdated_vectors", {"p_mark": mark, "p_limit": limit}).execute()
        return parsed(_OUTDATED, answer.data)

    async def put_vectors(self, mark: str, vectors: Mapping[UUID, str]) -> int:
        """Store the vectors of papers that have none with `mark` yet; returns how many of them have one now.

        Raises `SupabaseError`.
        """
        rows = [{"paper_id": str(paper_id), "vector": vector} for paper_id, vector in vectors.items()]
        with supabase_errors(f"store the vectors of {len(rows)} paper(s)"):
            answer = await self._client.rpc("put_vectors", {"p_mark": mark, "p_vectors": rows}).execute()
        return parsed(_COUNT, answer.data)

    async def _page(self, reader_id: UUID, limit: int, cursor: str | None, *, saved: bool) -> PaperPage:
        size = min(max(limit, 1), MAX_PAGE)
        before, before_id = decode_cursor(cursor) if cursor is not None else (None, None)
        parameters: dict[str, Any] = {
            "p_reader": str(reader_id),
            "p_saved": saved,
            "p_before": before.isoformat() if before else None,
            "p_before_id": str(before_id) if before_id else None,
            "p_limit": size + 1,
        }
        with supabase_errors(f"list the papers of reader {reader_id}"):
            response = await self._client.rpc("list_reader_papers", parameters).execute()
        found = parsed(_PAPERS, response.data)
        if len(found) <= size:
            return PaperPage(papers=tuple(found), next_cursor=None)
        last = found[size - 1]
        moment = last.saved_at if saved and last.saved_at else last.created_at
        return PaperPage(papers=tuple(found[:size]), next_cursor=encode_cursor(moment, last.paper_id))


def paper_row(paper: Paper, change: FeedbackChange) -> dict[str, Any]:
    """Return the row that upsert_reader_paper() expects."""
    if isinstance(paper, UUID):
        return {"paper_id": str(paper), "keys": [], **change}
    row: dict[str, Any] = clean(paper.model_dump(mode="json"))
    return row | {"keys": row["keys"][:MAX_KEYS], **change}
