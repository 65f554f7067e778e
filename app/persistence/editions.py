"""Editions and their articles: what the sources had for a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from app.errors import EditionNotFound
from app.models.articles import Article, Edition, EditionStatus
from app.models.item_keys import item_keys
from app.models.values import Frozen
from app.persistence.errors import VOID
from app.persistence.json_values import clean
from app.persistence.paging import read_all
from app.persistence.repository import Repository

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


class Editions(Repository):
    """Stores editions and articles by day. Fetching a day twice is harmless."""

    async def begin_edition(self, source_date: date) -> Edition:
        """Return the day's edition; create it if there is none. Raises `SupabaseError`."""
        return await self._call("begin_edition", f"begin edition {source_date}", Edition, p_source_date=source_date)

    async def save_articles(self, source_date: date, articles: Sequence[Article]) -> None:
        """Store articles of a day whose edition exists; replace those stored before. Raises `SupabaseError`.

        Links each article to its item, which copies from other sources and days share.
        """
        unique = {(article.source, article.external_id): article for article in articles}
        rows = [_row(unique[key]) for key in sorted(unique)]
        for start in range(0, len(rows), WRITE_BATCH):
            batch = rows[start : start + WRITE_BATCH]
            await self._call(
                "save_articles",
                f"save {len(batch)} articles of {source_date}",
                VOID,
                p_source_date=source_date,
                p_articles=batch,
            )

    async def plan_fetch(self, source_date: date, task_id: UUID) -> FetchPlan:
        """Return what the fetch `task_id` need not read again. Raises `SupabaseError`."""
        return await self._call(
            "plan_fetch", f"plan the fetch of {source_date}", FetchPlan, p_source_date=source_date, p_task_id=task_id
        )

    async def record_readings(
        self, source_date: date, task_id: UUID, begun_at: datetime, readings: Sequence[Reading]
    ) -> None:
        """Record the outcome of reading each source from `begun_at` on. Raises `SupabaseError`."""
        await self._call(
            "record_readings",
            f"record the readings of {source_date}",
            VOID,
            p_source_date=source_date,
            p_task_id=task_id,
            p_at=begun_at,
            p_sources=clean([reading.as_row() for reading in readings]),
        )

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
        return await self._found(
            "finish_edition",
            f"finish edition {source_date}",
            Edition,
            _no_edition(source_date),
            p_source_date=source_date,
            p_status=status.value,
            p_errors=clean(dict(errors)),
            p_sources=None if sources is None else list(sources),
        )

    async def get_edition(self, source_date: date) -> Edition:
        """Read a day's edition. Raises `EditionNotFound`, `SupabaseError`."""
        query = self._client.table("editions").select(EDITION_COLUMNS).eq("source_date", source_date.isoformat())
        return await self._one(query, f"read edition {source_date}", Edition, _no_edition(source_date))

    async def list_editions(self, *, before: date | None = None, limit: int = 30) -> list[Edition]:
        """List up to `limit` editions of days before `before`, newest first. Raises `SupabaseError`."""

        async def read(found: Sequence[Edition]) -> list[Edition]:
            query = self._client.table("editions").select(EDITION_COLUMNS)
            earlier_than = found[-1].source_date if found else before
            if earlier_than is not None:
                query = query.lt("source_date", earlier_than.isoformat())
            query = query.order("source_date", desc=True).limit(limit - len(found))
            return await self._rows(query, "list editions", Edition)

        return await read_all(read, limit)

    async def get_articles(self, source_date: date) -> list[Article]:
        """Read all articles of a day, ordered by key, page by page. Raises `SupabaseError`."""

        async def read(found: Sequence[Article]) -> list[Article]:
            query = self._client.table("articles").select(ARTICLE_COLUMNS).eq("source_date", source_date.isoformat())
            query = query.order("source").order("external_id").range(len(found), len(found) + READ_PAGE - 1)
            return await self._rows(query, f"read articles of {source_date}", Article)

        return await read_all(read)


def _row(article: Article) -> dict[str, Any]:
    row: dict[str, Any] = clean(article.model_dump(mode="json"))
    return {**row, "keys": item_keys(article)}


def _no_edition(source_date: date) -> EditionNotFound:
    return EditionNotFound(f"There is no edition of {source_date}: POST a fetch for that day first.")
