"""Readers' papers: which papers each reader liked, disliked and saved. Each paper is stored once for all its keys."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypedDict
from uuid import UUID

from app.errors import PaperNotFound, SupabaseRejected, TooManyPapers
from app.models.articles import ArticleKind, Publication
from app.models.values import Frozen
from app.persistence.errors import VOID
from app.persistence.json_values import clean
from app.persistence.paging import MAX_PAGE, encode_cursor
from app.persistence.readers import reader_not_found
from app.persistence.repository import Repository

MAX_PAPERS_PER_CALL: Final = 500
MAX_KEYS: Final = 20
TOO_MANY: Final = "P0001"
LIBRARY: Final = "library"
"""The origin of papers that an import added: `rated_papers()` selects from them by other rules."""


class _PaperFields(Frozen):
    """What describes a paper.

    `origin` is an article's source, `manual`, `library` (of an import) or `zotero` (of a connected library).
    """

    kind: ArticleKind = ArticleKind.PAPER
    title: str | None = None
    abstract: str = ""
    authors: tuple[str, ...] = ()
    url: str | None = None
    published_at: datetime | None = None
    arxiv_id: str | None = None
    doi: str | None = None
    origin: str = "manual"
    publication: Publication | None = None


class PaperInput(_PaperFields):
    """A paper on which a reader gives feedback: its keys (`item_keys`, strongest first) and its known metadata.

    `vector` is its term vector (`app.ranking.vectors.vector_of`), empty if it has no terms.
    `app.ranking.reader_paper.paper_of` converts an article.
    """

    keys: tuple[str, ...]
    vector: str = ""


class ReaderPaper(_PaperFields):
    """A paper that a reader rated or saved. Without a title, only its arXiv id or DOI is known (yet).

    `looked_up_at`: when it was looked up at arXiv or Crossref. Times are the database's.
    """

    paper_id: UUID
    liked: bool | None = None
    rated_at: datetime | None = None
    saved_at: datetime | None = None
    looked_up_at: datetime | None = None
    created_at: datetime


class OutdatedPaper(Frozen):
    """A paper whose vector is to be made again, with the text that it is made of."""

    paper_id: UUID
    title: str | None = None
    abstract: str
    text_hash: str


@dataclass(frozen=True)
class PaperPage:
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


class ReaderPapers(Repository):
    """Stores readers' feedback on papers. A paper without any feedback is removed."""

    async def put(self, reader_id: UUID, feedback: Sequence[tuple[Paper, FeedbackChange]]) -> list[UUID | None]:
        """Record a reader's feedback on up to `MAX_PAPERS_PER_CALL` papers, all or none. Idempotent, times included.

        Returns their ids in order; None if the paper has no feedback now, or the reader has no paper of that
        `paper_id`. Raises `ReaderNotFound`, `TooManyPapers`, `SupabaseError`.
        """
        try:
            return await self._found(
                "upsert_reader_papers",
                f"store {len(feedback)} paper(s) of reader {reader_id}",
                list[UUID | None],
                reader_not_found(reader_id),
                p_reader=reader_id,
                p_papers=[paper_row(paper, change) for paper, change in feedback],
            )
        except SupabaseRejected as error:
            if error.code == TOO_MANY:
                raise TooManyPapers(str(error)) from error
            raise

    async def save(self, reader_id: UUID, paper: Paper, saved: bool) -> UUID | None:
        """Save a paper for a reader, or remove it from the saved ones. See `put`."""
        (paper_id,) = await self.put(reader_id, [(paper, {"saved": saved})])
        return paper_id

    async def feedback_on(self, reader_id: UUID, items: Sequence[Sequence[str]]) -> list[Feedback]:
        """Return a reader's feedback on items, given by their keys (`item_keys`), in order. Raises `SupabaseError`."""
        action, keys = f"read the feedback of reader {reader_id} on {len(items)} item(s)", [e[:MAX_KEYS] for e in items]
        return await self._call("paper_feedback", action, list[Feedback], p_reader=reader_id, p_items=keys)

    async def get(self, reader_id: UUID, paper_id: UUID) -> ReaderPaper:
        """Read one of a reader's papers. Raises `PaperNotFound`, also for another reader's, and `SupabaseError`."""
        query = self._client.table("reader_papers").select(",".join(ReaderPaper.model_fields))
        query = query.eq("reader_id", str(reader_id)).eq("paper_id", str(paper_id))
        missing = PaperNotFound(f"The reader has no paper {paper_id}: it was never stored, or was removed.")
        return await self._one(query, f"read paper {paper_id}", ReaderPaper, missing)

    async def remove(self, reader_id: UUID, paper_id: UUID) -> None:
        """Remove one of a reader's papers with its feedback. Raises `SupabaseError`."""
        action = f"remove paper {paper_id}"
        await self._call("remove_reader_paper", action, VOID, p_reader=reader_id, p_paper=paper_id)

    async def page(self, reader_id: UUID, *, limit: int = 50, cursor: str | None = None) -> PaperPage:
        """List a reader's papers, newest first, up to `limit` (1 to 100) a page.

        Raises `InvalidCursor` for a cursor that no page returned, and `SupabaseError`.
        """
        return await self._list(reader_id, _cursor, limit, cursor, saved=False)

    async def saved(self, reader_id: UUID, *, limit: int = 50, cursor: str | None = None) -> PaperPage:
        """List a reader's saved papers, last saved first. See `page`."""
        return await self._list(reader_id, _saved_cursor, limit, cursor, saved=True)

    async def saved_pages(self, reader_id: UUID) -> AsyncIterator[tuple[ReaderPaper, ...]]:
        """Yield a reader's saved papers, first saved first, `MAX_PAGE` at a time. Raises `SupabaseError`."""
        last: ReaderPaper | None = None
        while True:
            found = await self._call(
                "list_saved_papers",
                f"read the saved papers of reader {reader_id}",
                list[ReaderPaper],
                p_reader=reader_id,
                p_after=last.saved_at if last else None,
                p_after_id=last.paper_id if last else None,
                p_limit=MAX_PAGE,
            )
            if not found:
                return
            yield tuple(found)
            last = found[-1]

    async def saved_version(self, reader_id: UUID) -> str:
        """Return a text that changes when a saved paper of the reader changes. Raises `SupabaseError`."""
        action = f"read the version of the saved papers of reader {reader_id}"
        return await self._call("saved_papers_version", action, str, p_reader=reader_id)

    async def to_look_up(self, limit: int) -> list[str]:
        """Return the arXiv ids of papers that must be looked up, oldest first. Raises `SupabaseError`."""
        return await self._call("papers_to_look_up", "list the papers to look up", list[str], p_limit=limit)

    async def dois_to_look_up(self, limit: int) -> list[str]:
        """Return the DOIs to look up, of papers without an arXiv id, oldest first. Raises `SupabaseError`."""
        return await self._call("dois_to_look_up", "list the DOIs to look up", list[str], p_limit=limit)

    async def record_looked_up(
        self, ids: Sequence[str], found: Sequence[PaperInput], *, dois: Sequence[str] = ()
    ) -> None:
        """Record what arXiv found for these ids, or Crossref for these DOIs. None of them is looked up again.

        Raises `SupabaseError`.
        """
        await self._call(
            "record_looked_up",
            f"record the look-up of {len(ids) + len(dois)} papers",
            VOID,
            p_arxiv_ids=list(ids),
            p_dois=list(dois),
            p_papers=[paper_row(paper, {}) for paper in found],
        )

    async def outdated_vectors(self, mark: str, limit: int) -> list[OutdatedPaper]:
        """Papers of any reader whose vectors do not begin with `mark`. Raises `SupabaseError`."""
        action = "read which vectors are outdated"
        return await self._call("outdated_vectors", action, list[OutdatedPaper], p_mark=mark, p_limit=limit)

    async def put_vectors(self, mark: str, vectors: Mapping[OutdatedPaper, str]) -> int:
        """Store the vectors of papers that have none with `mark` yet; returns how many of them have one now.

        A paper whose text has changed since it was read stays outdated. Raises `SupabaseError`.
        """
        rows = [
            {"paper_id": str(paper.paper_id), "text_hash": paper.text_hash, "vector": vector}
            for paper, vector in vectors.items()
        ]
        return await self._call(
            "put_vectors", f"store the vectors of {len(rows)} paper(s)", int, p_mark=mark, p_vectors=rows
        )

    async def _list(
        self, reader_id: UUID, cursor_of: Callable[[ReaderPaper], str], limit: int, cursor: str | None, *, saved: bool
    ) -> PaperPage:
        action, filters = f"list the papers of reader {reader_id}", {"p_reader": reader_id, "p_saved": saved}
        return PaperPage(
            *await self._page("list_reader_papers", action, ReaderPaper, cursor_of, limit, cursor, **filters)
        )


def _cursor(paper: ReaderPaper) -> str:
    return encode_cursor(paper.created_at, paper.paper_id)


def _saved_cursor(paper: ReaderPaper) -> str:
    return encode_cursor(paper.saved_at or paper.created_at, paper.paper_id)


def paper_row(paper: Paper, change: FeedbackChange) -> dict[str, Any]:
    """Return the row that upsert_reader_paper() expects."""
    if isinstance(paper, UUID):
        return {"paper_id": str(paper), "keys": [], **change}
    row: dict[str, Any] = clean(paper.model_dump(mode="json"))
    return row | {"keys": row["keys"][:MAX_KEYS], **change}
