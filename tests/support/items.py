"""Items of sources, saved as a fetch saves them."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
from supabase import AsyncClient

from app.days import utc_today
from app.models.articles import Article, Item
from app.persistence.editions import Editions
from app.persistence.items import Items

TITLE = "Graph neural networks for the weather"


ARXIV: dict[str, Any] = {"source": "arxiv", "external_id": "2611.00001", "arxiv_id": "2611.00001"}


TODAY = utc_today()


def copy(**changes: Any) -> Article:
    return Article.model_validate({"source": "feed:x", "external_id": "x", "kind": "paper", "title": "T"} | changes)


async def save(client: AsyncClient, *articles: Article, day: date = TODAY) -> None:
    await Editions(client).begin_edition(day)
    await Editions(client).save_articles(day, articles)


async def seen(client: AsyncClient, day: date = TODAY) -> list[Item]:
    return await Items(client).first_seen_on(day)


async def record_shown(client: AsyncClient, reader_id: UUID, keys: Iterable[str]) -> None:
    """Record that a reader was shown the items with these keys, as the end of a delivery does."""
    await client.rpc("record_shown_keys", {"p_reader": str(reader_id), "p_keys": list(keys)}).execute()


async def age(database: asyncpg.Connection, days: int) -> None:
    await database.execute("update public.items set first_seen = first_seen - $1 * interval '1 day'", days)
