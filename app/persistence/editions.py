"""Editions and their articles: what the sources had for a day."""

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
from app.persistence.paging import read_all

EDITION_COLUMNS = "source_date,status,counts,errors,complete,complete_from,fetched_at,created_at,updated_at"
ARTICLE_COLUMNS = (
    "source,external_id,kind,title,abstract,authors,url,pdf_url,categories,published_at,arxiv_id,doi,journal_ref,comment,"
    "code_url"
)

WRITE_BATCH = 500
READ_PAGE = 1000
"""The most rows that a Supabase project returns in one response, unless its settings lower it."""


class FetchPlan(Frozen):
    """When a fetch begins, by the database's clock, and the sources that it need not read again, with their items."""

    at: datetime
    kept: dict[str, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """The outcome of reading a source: the number of items, or an `error`. See `Source.complete_from`."""

    source: str
    complete_from: datetime
    items: int | None = None
    error: str | None = None

    def as_row(self) -> dict[str, Any]:
        """Return the row that record_readings() expects."""
        outcome = {"items": self.items} if self.error is None else {"error": self.error}
        return {"name": self.source, "complete_from": self.complete_from.isoformat(), **outcome}


_PLAN = TypeAdapter(FetchPlan)
_BEGUN = TypeAdapter(Edition)
_FINISHED = TypeAdapter(Edition | None)
_EDITIONS = TypeAdapter(list[Edition])
_ARTICLES = TypeAdapter(list[Article])


class Editions:
    """Stores editions and articles by day. Fetching a day twice is harmless."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def begin_edition(self, source_date: date) -> Edition:
        """Return the day's edition; create it if there is none. Raises `SupabaseError`."""
        with supabase_errors(f"begin edition {source_date}"):
            response = await self._client.rpc("begin_edition", {"p_source_date": source_date.isoformat()}).execute()
        return parsed(_BEGUN, response.data)

    async def save_articles(self, source_date: date, articles: Sequence[Article]) -> None:
        """Store articles of a day whose edition exists; replace those stored before. Raises `SupabaseError`.

        Links each article to its item, which copies from other sources and days share.
        """
        unique = {(article.source, article.external_id): article for article in articles}
        rows = [_row(unique[key]) for key in sorted(unique)]
        for start in range(0, len(rows), WRITE_BATCH):
            batch = rows[start : start + WRITE_BATCH]
            with supabase_errors(f"save {len(batch)} articles of {source_date}"):
                parameters = {"p_source_date": source_date.isoformat(), "p_articles": batch}
                response = await self._client.rpc("save_articles", parameters).execute()
            parsed(VOID, response.data)

    async def plan_fetch(self, source_date: date, task_id: UUID) -> FetchPlan:
        """Return what the fetch `task_id` need not read again. Raises `SupabaseError`."""
        parameters = {"p_source_date": source_date.isoformat(), "p_task_id": str(task_id)}
        with supabase_errors(f"plan the fetch of {source_date}"):
            response = await self._client.rpc("plan_fetch", parameters).execute()
        return parsed(_PLAN, response.data)

    async def record_readings(
        self, source_date: date, task_id: UUID, begun_at: datetime, readings: Sequence[Reading]
    ) -> None:
        """Record the outcome of reading each source from `begun_at` on. Raises `SupabaseError`."""
        parameters = {
            "p_source_date": source_date.isoformat(),
            "p_task_id": str(task_id),
            "p_at": begun_at.isoformat(),
            "p_sources": clean([reading.as_row() for reading in readings]),
        }
        with supabase_errors(f"record the readings of {source_date}"):
            response = await self._client.rpc("record_readings", parameters).execute()
        parsed(VOID, response.data)

    async def finish_edition(
        self,
        source_date: date,
        status: EditionStatus,
        errors: Mapping[str, str],
        sources: Sequence[str] | None = None,
    ) -> Edition:
        """Record how a fetch of `sources` ended. Status `fetching`: it was postponed. Stored articles stay.

        `errors` has the failed sources. Without `sources`, a completed edition counts as complete.
        Raises `EditionNotFound` if the edition does not exist, and `SupabaseError`.
        """
        parameters = {
            "p_source_date": source_date.isoformat(),
            "p_status": status.value,
            "p_errors": clean(dict(errors)),
            "p_sources": None if sources is None else list(sources),
        }
        with supabase_errors(f"finish edition {source_date}"):
            response = await self._client.rpc("finish_edition", parameters).execute()
        return _required(parsed(_FINISHED, response.data), source_date)

    async def get_edition(self, source_date: date) -> Edition:
        """Read a day's edition. Raises `EditionNotFound`, `SupabaseError`."""
        query = self._client.table("editions").select(EDITION_COLUMNS).eq("source_date", source_date.isoformat())
        with supabase_errors(f"read edition {source_date}"):
            response = await query.limit(1).execute()
        found = parsed(_EDITIONS, response.data)
        return _required(found[0] if found else None, source_date)

    async def list_editions(self, *, before: date | None = None, limit: int = 30) -> list[Edition]:
        """List up to `limit` editions of days before `before`, newest first. Raises `SupabaseError`."""

        async def read(found: Sequence[Edition]) -> list[Edition]:
            query = self._client.table("editions").select(EDITION_COLUMNS)
            earlier_than = found[-1].source_date if found else before
            if earlier_than is not None:
                query = query.lt("source_date", earlier_than.isoformat())
            with supabase_errors("list editions"):
                response = await query.order("source_date", desc=True).limit(limit - len(found)).execute()
            return parsed(_EDITIONS, response.data)

        return await read_all(read, limit)

    async def get_articles(self, source_date: date) -> list[Article]:
        """Read all articles of a day, ordered by key, page by page. Raises `SupabaseError`."""

        async def read(found: Sequence[Article]) -> list[Article]:
            query = self._client.table("articles").select(ARTICLE_COLUMNS).eq("source_date", source_date.isoformat())
            query = query.order("source").order("external_id").range(len(found), len(found) + READ_PAGE - 1)
            with supabase_errors(f"read articles of {source_date}"):
                response = await query.execute()
            return parsed(_ARTICLES, response.data)

        return await read_all(read)


def _row(article: Article) -> dict[str, Any]:
    row: dict[str, Any] = clean(article.model_dump(mode="json"))
    return {**row, "keys": item_keys(article)}


def _required(edition: Edition | None, source_date: date) -> Edition:
    if edition is None:
        raise EditionNotFound(f"There is no edition of {source_date}: POST a fetch for that day first.")
    return edition
