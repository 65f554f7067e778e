"""Stored digests, separate from the tasks that wrote them."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.errors import DigestNotFound
from app.models.articles import ArticleKind
from app.models.digests import Digest, DigestItem
from app.models.values import Frozen
from app.persistence.errors import parsed
from app.persistence.json_values import clean_text
from app.persistence.repository import Repository

log = structlog.get_logger(__name__)

MAX_QUERY = 200
"""Characters of a search query that are used."""
MAX_LISTED = 500
_DIGEST = TypeAdapter(Digest)


class StoredDigest(BaseModel):
    """A digest as JSON (`app.models.Digest`), as the version of the code that wrote it defined it."""

    digest: dict[str, Any]

    def read(self) -> Digest:
        """Return the digest. Raises `UnreadableResponse` if this version of the code cannot read the document."""
        return parsed(_DIGEST, self.digest)


class DigestDay(Frozen):
    """A day on which a reader got a digest: how many items it has, and the title of the first one, if any."""

    local_day: date
    papers: int
    news: int
    first_title: str | None = None


class DigestVersion(Frozen):
    """Identifies a digest: its task, and when it was written."""

    task_id: UUID
    created_at: datetime


class ArchivedItem(Frozen):
    """An item of a reader's digest, without its abstract. `place` as in `SearchHit`."""

    local_day: date
    written_at: datetime
    kind: ArticleKind
    place: int
    item: DigestItem


class SearchHit(Frozen):
    """An item of a reader's earlier digest. `place` counts from 0 among the papers, or the news, of that day."""

    local_day: date
    kind: ArticleKind
    place: int
    title: str
    url: str | None = None


class Digests(Repository):
    """Reads digests. The transaction that completes a digest task stores its digest."""

    async def get(self, task_id: UUID) -> StoredDigest:
        """Read the digest of a task. Raises `DigestNotFound`, `SupabaseError`."""
        query = self._client.table("digests").select("digest").eq("task_id", str(task_id))
        missing = DigestNotFound(
            f"There is no digest of task {task_id}: the task has not completed, or the digest was removed."
        )
        return await self._one(query, f"read the digest of task {task_id}", StoredDigest, missing)

    async def for_day(self, reader_id: UUID, local_day: date) -> StoredDigest:
        """Read a reader's digest of a day. Raises `DigestNotFound`, `SupabaseError`."""
        query = self._client.table("digests").select("digest").eq("reader_id", str(reader_id))
        query = query.eq("local_day", local_day.isoformat())
        missing = DigestNotFound(f"There is no digest of {local_day} for reader {reader_id}: it was removed.")
        return await self._one(query, f"read the digest of reader {reader_id}", StoredDigest, missing)

    async def list_days(self, reader_id: UUID, *, before: date | None = None, limit: int = 60) -> list[DigestDay]:
        """List a reader's days with a digest, newest first, optionally only those `before` a day; at most 500.

        Only an empty list is the end; a shorter list than `limit` is not. Raises `SupabaseError`.
        """
        query = (
            self._client.table("digests").select("local_day,papers,news,first_title").eq("reader_id", str(reader_id))
        )
        # Digests without a day, or without counts, belong to no reader's schedule.
        query = query.not_.is_("papers", "null")
        if before is not None:
            query = query.lt("local_day", before.isoformat())
        query = query.order("local_day", desc=True).limit(min(limit, MAX_LISTED))
        return await self._rows(query, f"list the digests of reader {reader_id}", DigestDay)

    async def search(self, reader_id: UUID, text: str, *, limit: int = 50) -> list[SearchHit]:
        """Find items of a reader's digests that contain all words of `text`, newest first; at most 500.

        Searches titles, authors and summaries, with English stemming. Supports "a phrase", `or` and `-without`. No
        input is an error; input without words finds nothing. Raises `SupabaseError`.
        """
        query = clean_text(text[:MAX_QUERY])
        return await self._call(
            "search_digests",
            f"search the digests of reader {reader_id}",
            list[SearchHit],
            p_reader=reader_id,
            p_text=query,
            p_limit=min(limit, MAX_LISTED),
        )

    async def newest_digest(self, reader_id: UUID) -> DigestVersion | None:
        """Return a reader's newest digest; None if there is none. Raises `SupabaseError`."""
        query = self._client.table("digests").select("task_id,created_at").eq("reader_id", str(reader_id))
        query = query.not_.is_("papers", "null").order("local_day", desc=True)
        return await self._first(query, f"find the newest digest of reader {reader_id}", DigestVersion)

    async def newest_items(self, reader_id: UUID, *, limit: int = 100) -> list[ArchivedItem]:
        """Return a reader's items, newest first. Items that this code cannot read are skipped and logged.

        Raises `SupabaseError`.
        """
        action, most = f"read the newest items of reader {reader_id}", min(limit, MAX_LISTED)
        rows = await self._call("newest_items", action, list[dict[str, Any]], p_reader=reader_id, p_limit=most)
        return list(_readable(rows))


def _readable(rows: list[dict[str, Any]]) -> Iterator[ArchivedItem]:
    """Older versions of the code wrote the archive: one unreadable item must not hide the others."""
    for row in rows:
        try:
            yield ArchivedItem.model_validate(row)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            log.warning("an archived item cannot be read", problem=problem["msg"], at=problem["loc"])
