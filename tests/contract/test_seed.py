"""`supabase/seed.sql`: what the service reads of it, and that it changes nothing in a database that has been used."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.articles import ArticleKind, EditionStatus
from app.models.item_keys import item_keys
from app.persistence.editions import Editions
from app.persistence.items import Items
from app.persistence.readers import Readers, ReaderStatus
from embedded.stack import Ready
from scripts.migrate import MIGRATIONS, read_migrations
from tests.support.migrate import migrate
from tests.support.schedule import Clock, add_reader, enqueued
from tests.support.seed import DAY, SEED, apply_seed

TABLES = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname"
USES = {
    "a reader": "insert into public.readers (name) values ('Ada')",
    "an edition": "insert into public.editions (source_date) values ('2026-11-28')",
    "a task": "insert into public.tasks (task_id, kind, request_hash) values (gen_random_uuid(), 'fetch', '')",
    "a worker": "insert into public.workers (worker_id, lease, seen_at, reported_at)"
    " values (gen_random_uuid(), '1 minute', now(), now())",
}


async def content(database: asyncpg.Connection) -> dict[str, Any]:
    """All rows of all tables of the schema."""
    rows = {}
    for (table,) in await database.fetch(TABLES):
        query = f"select coalesce(jsonb_agg(to_jsonb(t) order by t::text), '[]') from public.{table} t"
        rows[table] = json.loads(await database.fetchval(query))
    return rows


async def test_the_service_reads_the_sample_edition(client: AsyncClient, database: asyncpg.Connection) -> None:
    await apply_seed(database)
    edition, articles = await Editions(client).get_edition(DAY), await Editions(client).get_articles(DAY)
    assert (edition.status, edition.complete, edition.counts) == (
        EditionStatus.COMPLETED,
        True,
        {"arxiv": 5, "feed:sample": 2},
    )
    assert [article.kind for article in articles] == [ArticleKind.PAPER] * 5 + [ArticleKind.NEWS] * 2
    assert all(article.is_sample and article.url and article.abstract for article in articles)
    assert all(len(article.authors) in {1, 2} for article in articles[:5])
    # The keys that a fetch would give to the articles, and no others.
    assert {found.item_id: set(found.keys) for found in await Items(client).first_seen_on(DAY)} == {
        row["item_id"]: set(item_keys(article))
        for article in articles
        for row in await database.fetch(
            "select item_id from public.articles where external_id = $1", article.external_id
        )
    }


async def test_the_sample_readers_are_paused(client: AsyncClient, database: asyncpg.Connection, clock: Clock) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    await apply_seed(database)
    readers = (await Readers(client).list_page("default")).readers
    assert {(reader.external_id, reader.email) for reader in readers} == {
        ("sample-ada", "ada@example.invalid"),
        ("sample-ben", "ben@example.invalid"),
    }
    assert {(reader.status, reader.next_due_at) for reader in readers} == {(ReaderStatus.PAUSED, None)}
    for _ in range(8):
        await clock.advance(timedelta(days=1))
        assert await enqueued(client, database) == []


async def test_sample_items_are_new_to_no_reader(client: AsyncClient, database: asyncpg.Connection) -> None:
    await apply_seed(database)
    found = await Items(client).new_items_for((await add_reader(client)).reader_id)
    assert found.days == ()


async def test_a_second_run_of_the_seed_changes_nothing(database: asyncpg.Connection) -> None:
    await apply_seed(database)
    first = await content(database)
    assert len(first["readers"]) == 2
    await apply_seed(database)
    assert await content(database) == first


async def test_concurrent_runs_of_the_seed_are_one(stack: Ready, database: asyncpg.Connection) -> None:
    other = await asyncpg.connect(stack.database_url)
    await asyncio.gather(apply_seed(database), apply_seed(other))
    await other.close()
    found = await content(database)
    assert (len(found["readers"]), len(found["articles"])) == (2, 7)


@pytest.mark.parametrize("use", USES)
async def test_the_seed_changes_nothing_after(use: str, database: asyncpg.Connection) -> None:
    await database.execute(USES[use])
    before = await content(database)
    await apply_seed(database)
    assert await content(database) == before


async def test_migrate_never_reads_the_seed(stack: Ready, database: asyncpg.Connection) -> None:
    assert migrate(stack.database_url).stdout.endswith("the schema is up to date\n")
    assert (await content(database))["readers"] == []
    assert SEED not in [migration.sql for migration in read_migrations(MIGRATIONS)]
