"""Digests as they were written: the document and its page, apart from the task that asked for them."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel, TypeAdapter, ValidationError
from supabase import AsyncClient

from app.errors import DigestNotFound
from app.models import ArticleKind, DigestItem, Frozen
from app.persistence.errors import parsed, supabase_errors
from app.persistence.json_values import clean_text

log = structlog.get_logger(__name__)

MAX_QUERY = 200
"""Characters of what is searched for that are looked at."""
MAX_LISTED = 500


class StoredDigest(BaseModel):
    """A digest as JSON, as `app.models.Digest` has it, and the page that was rendered of it."""

    digest: dict[str, Any]
    page: str


class DigestDay(Frozen):
    """One of a reader's days with a digest: what it holds, and the title of its first item, if it has any."""

    local_day: date
    papers: int
    news: int
    first_title: str | None = None


class Written(Frozen):
    """Which digest it is, and when it was written."""

    task_id: UUID
    created_at: datetime


class ArchivedItem(Frozen):
    """An item as a reader's digest has it, without its abstract; `place` as in `FoundItem`."""

    local_day: date
    written_at: datetime
    kind: ArticleKind
    place: int
    item: DigestItem


class FoundItem(Frozen):
    """An item of a reader's earlier digest; `place` counts from 0 among the papers, or the news, of that day."""

    local_day: date
    kind: ArticleKind
    place: int
    title: str
    url: str | None = None


_DIGESTS = TypeAdapter(list[StoredDigest])
_DAYS = TypeAdapter(list[DigestDay])
_FOUND = TypeAdapter(list[FoundItem])
_WRITTEN = TypeAdapter(list[Written])
_ROWS = TypeAdapter(list[dict[str, Any]])


class Digests:
    """Reads digests. They are written by the outcome of their task, in the same transaction."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def get(self, task_id: UUID) -> StoredDigest:
        """Read what a task wrote. Raises `DigestNotFound`, `SupabaseError`."""
        query = self._client.table("digests").select("digest,page").eq("task_id", str(task_id)).limit(1)
        with supabase_errors(f"read the digest of task {task_id}"):
            answer = await query.execute()
        found = parsed(_DIGESTS, answer.data)
        if not found:
            raise DigestNotFound(f"There is no digest of task {task_id}: it has not completed, or was removed.")
        return found[0]

    async def of_day(self, reader_id: UUID, local_day: date) -> StoredDigest:
        """Read what was written for one of a reader's days. Raises `DigestNotFound`, `SupabaseError`."""
        query = self._client.table("digests").select("digest,page").eq("reader_id", str(reader_id))
        with supabase_errors(f"read the digest of reader {reader_id}"):
            answer = await query.eq("local_day", local_day.isoformat()).limit(1).execute()
        found = parsed(_DIGESTS, answer.data)
        if not found:
            raise DigestNotFound(f"There is no digest of {local_day} for reader {reader_id}: it was removed.")
        return found[0]

    async def days_of(self, reader_id: UUID, *, before: date | None = None, limit: int = 60) -> list[DigestDay]:
        """List a reader's days with a digest, the newest first, those before a day; 500 at most.

        Fewer than `limit` are no sign that these were the last; none are. Raises `SupabaseError`.
        """
        query = (
            self._client.table("digests").select("local_day,papers,news,first_title").eq("reader_id", str(reader_id))
        )
        # What is there without a day, or was never counted, is no reader's day.
        query = query.not_.is_("papers", "null")
        if before is not None:
            query = query.lt("local_day", before.isoformat())
        with supabase_errors(f"list the digests of reader {reader_id}"):
            answer = await query.order("local_day", desc=True).limit(min(limit, MAX_LISTED)).execute()
        return parsed(_DAYS, answer.data)

    async def search(self, reader_id: UUID, text: str, *, limit: int = 50) -> list[FoundItem]:
        """Find the items of a reader's digests that have all words of `text`, the newest first; 500 at most.

        The words of titles, authors and summaries, in any English form; "a phrase" in quotes, `or`, and `-without` are
        understood. Nothing that can be typed is an error; what has no words finds nothing. Raises `SupabaseError`.
        """
        asked = clean_text(text[:MAX_QUERY])
        parameters = {"p_reader": str(reader_id), "p_text": asked, "p_limit": min(limit, MAX_LISTED)}
        with supabase_errors(f"search the digests of reader {reader_id}"):
            answer = await self._client.rpc("search_digests", parameters).execute()
        return parsed(_FOUND, answer.data)

    async def newest_of(self, reader_id: UUID) -> Written | None:
        """A reader's newest digest; None: there is none. Raises `SupabaseError`."""
        query = self._client.table("digests").select("task_id,created_at").eq("reader_id", str(reader_id))
        query = query.not_.is_("papers", "null").order("local_day", desc=True)
        with supabase_errors(f"read which digest of reader {reader_id} is the newest"):
            answer = await query.limit(1).execute()
        found = parsed(_WRITTEN, answer.data)
        return found[0] if found else None

    async def newest_items(self, reader_id: UUID, *, limit: int = 100) -> list[ArchivedItem]:
        """A reader's items, the newest first; those that no present code can read are left out, and logged.

        Raises `SupabaseError`.
        """
        parameters = {"p_reader": str(reader_id), "p_limit": min(limit, MAX_LISTED)}
        with supabase_errors(f"read the newest items of reader {reader_id}"):
            answer = await self._client.rpc("newest_items", parameters).execute()
        return list(_readable(parsed(_ROWS, answer.data)))


def _readable(rows: list[dict[str, Any]]) -> Iterator[ArchivedItem]:
    """What is archived was written by the code of years: one item that cannot be read must not hide the others."""
    for row in rows:
        try:
            yield ArchivedItem.model_validate(row)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            log.warning("an archived item cannot be read", problem=problem["msg"], at=problem["loc"])
