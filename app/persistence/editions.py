"""Editions and their articles: what was fetched for a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.errors import EditionNotFound
from app.models import Article, Edition, EditionStatus, Frozen
from app.persistence.errors import VOID, parsed, supabase_errors
from app.persistence.item_keys import item_keys
from app.persistence.json_values import clean
from app.persistence.paging import read_on

EDITION_COLUMNS = "source_date,status,counts,errors,complete,complete_from,fetched_at,created_at,updated_at"
ARTICLE_COLUMNS = "source,external_id,kind,title,abstract,authors,url,pdf_url,categories,published_at,arxiv_id,doi"

WRITE_BATCH = 500
READ_PAGE = 1000
"""What a Supabase project gives in one answer at most, unless its settings say less."""


class FetchPlan(Frozen):
    """When a fetch's readings begin, by the schedule's clock; and how many items the sources gave that it keeps."""

    at: datetime
    kept: dict[str, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """How it went with a source: it gave so many items, or failed with an `error`; see `Source.complete_from`."""

    source: str
    complete_from: datetime
    items: int | None = None
    error: str | None = None

    def as_row(self) -> dict[str, Any]:
        """What record_readings() takes."""
        outcome = {"items": self.items} if self.error is None else {"error": self.error}
        return {"name": self.source, "complete_from": self.complete_from.isoformat(), **outcome}


_PLAN = TypeAdapter(FetchPlan)
_BEGUN = TypeAdapter(Edition)
_FINISHED = TypeAdapter(Edition | None)
_EDITIONS = TypeAdapter(list[Edition])
_ARTICLES = TypeAdapter(list[Article])


class Editions:
    """Stores editions and articles by day; fetching a day twice is harmless."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def begin_edition(self, source_date: date) -> Edition:
        """Make the day's edition if there is none, and return it. Raises `SupabaseError`."""
        with supabase_errors(f"begin edition {source_date}"):
            answer = await self._client.rpc("begin_edition", {"p_source_date": source_date.isoformat()}).execute()
        return parsed(_BEGUN, answer.data)

    async def save_articles(self, source_date: date, articles: Sequence[Article]) -> None:
        """Store articles of a day that was begun; one that is there already is replaced. Raises `SupabaseError`.

        Each is linked to what it is a copy of, whatever source and day that came from.
        """
        unique = {(article.source, article.external_id): article for article in articles}
        rows = [_row(unique[key]) for key in sorted(unique)]
        for start in range(0, len(rows), WRITE_BATCH):
            batch = rows[start : start + WRITE_BATCH]
            with supabase_errors(f"save {len(batch)} articles of {source_date}"):
                parameters = {"p_source_date": source_date.isoformat(), "p_articles": batch}
                answer = await self._client.rpc("save_articles", parameters).execute()
            parsed(VOID, answer.data)

    async def plan_fetch(self, source_date: date, task_id: UUID) -> FetchPlan:
        """Ask what the fetch `task_id` need not read again. Raises `SupabaseError`."""
        parameters = {"p_source_date": source_date.isoformat(), "p_task_id": str(task_id)}
        with supabase_errors(f"plan the fetch of {source_date}"):
            answer = await self._client.rpc("plan_fetch", parameters).execute()
        return parsed(_PLAN, answer.data)

    async def record_readings(
        self, source_date: date, task_id: UUID, begun_at: datetime, readings: Sequence[Reading]
    ) -> None:
        """Record how it went with each source, read from `begun_at` on; the day was begun. Raises `SupabaseError`."""
        parameters = {
            "p_source_date": source_date.isoformat(),
            "p_task_id": str(task_id),
            "p_at": begun_at.isoformat(),
            "p_sources": clean([reading.as_row() for reading in readings]),
        }
        with supabase_errors(f"record the readings of {source_date}"):
            answer = await self._client.rpc("record_readings", parameters).execute()
        parsed(VOID, answer.data)

    async def finish_edition(
        self,
        source_date: date,
        status: EditionStatus,
        errors: Mapping[str, str],
        sources: Sequence[str] | None = None,
    ) -> Edition:
        """Record how a fetch of `sources` ended, or, with `fetching`, that it was postponed; what was read stays.

        `errors` are those of the sources that failed. Without `sources`, a completed edition counts as complete.
        Raises `EditionNotFound` if the day was not begun, and `SupabaseError`.
        """
        parameters = {
            "p_source_date": source_date.isoformat(),
            "p_status": status.value,
            "p_errors": clean(dict(errors)),
            "p_sources": None if sources is None else list(sources),
        }
        with supabase_errors(f"finish edition {source_date}"):
            answer = await self._client.rpc("finish_edition", parameters).execute()
        return _found(parsed(_FINISHED, answer.data), source_date)

    async def get_edition(self, source_date: date) -> Edition:
        """Read a day's edition. Raises `EditionNotFound`, `SupabaseError`."""
        query = self._client.table("editions").select(EDITION_COLUMNS).eq("source_date", source_date.isoformat())
        with supabase_errors(f"read edition {source_date}"):
            answer = await query.limit(1).execute()
        found = parsed(_EDITIONS, answer.data)
        return _found(found[0] if found else None, source_date)

    async def list_editions(self, *, before: date | None = None, limit: int = 30) -> list[Edition]:
        """List editions, newest first, up to `limit`, of days before `before`. Raises `SupabaseError`."""

        async def read(found: Sequence[Edition]) -> list[Edition]:
            query = self._client.table("editions").select(EDITION_COLUMNS)
            earlier_than = found[-1].source_date if found else before
            if earlier_than is not None:
                query = query.lt("source_date", earlier_than.isoformat())
            with supabase_errors("list editions"):
                answer = await query.order("source_date", desc=True).limit(limit - len(found)).execute()
            return parsed(_EDITIONS, answer.data)

        return await read_on(read, limit)

    async def get_articles(self, source_date: date) -> list[Article]:
        """Read all articles of a day, in the order of their keys, page by page. Raises `SupabaseError`."""

        async def read(found: Sequence[Article]) -> list[Article]:
            query = self._client.table("articles").select(ARTICLE_COLUMNS).eq("source_date", source_date.isoformat())
            query = query.order("source").order("external_id").range(len(found), len(found) + READ_PAGE - 1)
            with supabase_errors(f"read articles of {source_date}"):
                answer = await query.execute()
            return parsed(_ARTICLES, answer.data)

        return await read_on(read)


def _row(article: Article) -> dict[str, Any]:
    row: dict[str, Any] = clean(article.model_dump(mode="json"))
    return {**row, "keys": item_keys(article)}


def _found(edition: Edition | None, source_date: date) -> Edition:
    if edition is None:
        raise EditionNotFound(f"There is no edition of {source_date}: post a fetch for that day first.")
    return edition
