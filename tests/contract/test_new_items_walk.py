"""A random walk through three weeks: nothing is shown twice under any key, and no new item is missed.

Papers appear late, and none at weekends; copies come from several sources with some of their keys; on some days nothing
is fetched; deliveries are recorded late. To let a day pass, the test moves all stored times back by a day.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.days import utc_today
from app.models.articles import Article, EditionStatus, Item
from app.models.item_keys import item_keys
from app.persistence.editions import Editions
from app.persistence.items import Items
from tests.support.items import copy, record_shown
from tests.support.schedule import had_digest
from worker.periodic.daily_fetch import DAYS

WALK, WEEK = 21, 7


@dataclass
class Copy:
    """A copy of a source: the day of its edition, and the day from which the source has it."""

    article: Article
    dated: int
    appears: int


@dataclass
class Reader:
    """A reader with a daily or a weekly digest."""

    weekday: int | None
    reader_id: UUID = field(default_factory=uuid4)
    last: datetime | None = None
    shown: set[str] = field(default_factory=set)
    unsent: list[Item] = field(default_factory=list)

    def reads(self, day: int) -> bool:
        return self.weekday is None or day % WEEK == self.weekday


@dataclass
class World:
    """All copies, and the days on which the sources were read."""

    copies: list[Copy] = field(default_factory=list)
    fetched: list[int] = field(default_factory=list)

    def reached(self, each: Copy, until: int) -> bool:
        return any(each.appears <= day <= min(each.dated + DAYS, until) for day in self.fetched)


def copies(day: int, chance: random.Random) -> Iterator[Copy]:
    """The papers of a day: each in one to three sources, not all with all keys or at the same time."""
    for n in range(chance.randrange(0, 8)):
        number = day * 100 + n
        names = {
            "arxiv_id": f"2611.{number:05}",
            "doi": f"10.1038/{number}",
            "title": f"The title of paper number {number}",
        }
        for source in chance.sample(["arxiv", "feed:a", "feed:b"], chance.randint(1, 3)):
            known = names if source == "arxiv" else dict(chance.sample(list(names.items()), chance.randint(1, 2)))
            article = copy(
                **known | {"source": source, "external_id": f"{source} {number}", "abstract": chance.choice(["", "A"])}
            )
            appears = day + chance.randint(1, DAYS)
            # No paper appears at weekends.
            appears = min(appears + max(0, 7 - appears % WEEK) if appears % WEEK >= 5 else appears, day + DAYS)
            yield Copy(article, day, appears)


async def pass_a_day(database: asyncpg.Connection, readers: list[Reader]) -> None:
    async with database.transaction():
        await database.execute("set local session_replication_role = replica")
        for table, column in (("items", "first_seen"), ("items", "changed_at"), ("shown_items", "shown_at")):
            await database.execute(f"update public.{table} set {column} = {column} - interval '1 day'")
        # In two steps, by way of an earlier century, because two editions must never have the same day.
        for table in ("editions", "articles"):
            for days in (-50_001, 50_000):
                await database.execute(
                    f"update public.{table} set source_date = source_date + $1::int where true", days
                )
    for reader in readers:
        reader.last = reader.last and reader.last - timedelta(days=1)


async def fetch(client: AsyncClient, today: int, world: list[Copy], chance: random.Random) -> None:
    """Fetch the last days again, source by source; some sources fail."""
    for back in range(1, DAYS + 1):
        day = utc_today() - timedelta(days=back)
        await Editions(client).begin_edition(day)
        for source in ("arxiv", "feed:a", "feed:b"):
            found = [
                c.article
                for c in world
                if c.dated == today - back and c.appears <= today and c.article.source == source
            ]
            chance.shuffle(found)
            await Editions(client).save_articles(day, found)
        await Editions(client).finish_edition(day, EditionStatus.COMPLETED, {})


async def read(client: AsyncClient, database: asyncpg.Connection, reader: Reader) -> None:
    """A digest of all new items; it is recorded as shown now or before the next one."""
    if reader.last is not None:
        await had_digest(database, reader.reader_id, reader.last)
    news = await Items(client).new_items_for(reader.reader_id)
    reader.last = await database.fetchval("select now()")
    for day in news.days:
        items = await Items(client).first_seen_on(day.day)
        reader.unsent += [item for item in items if item.item_id not in news.shown]
    for item in reader.unsent:
        assert reader.shown.isdisjoint(item.keys), f"{item} was shown before"
        reader.shown.update(item.keys)


async def deliver(client: AsyncClient, reader: Reader) -> None:
    keys = [key for item in reader.unsent for key in item.keys]
    for _ in range(2):
        await record_shown(client, reader.reader_id, keys)
    reader.unsent = []


def named(shown: set[str], reached: list[Copy]) -> set[str]:
    """All keys of the shown items, including those of their other copies."""
    names, before = set(shown), 0
    while len(names) > before:
        before = len(names)
        for one in reached:
            keys = item_keys(one.article)
            if not names.isdisjoint(keys):
                names.update(keys)
    return names


async def walk(
    client: AsyncClient, database: asyncpg.Connection, readers: list[Reader], chance: random.Random
) -> World:
    """Three weeks; returns all papers, and the days on which they were fetched."""
    world = World()
    for today in range(DAYS, DAYS + WALK):
        world.copies += copies(today - 1, chance)
        for reader in readers:
            await deliver(client, reader)
        if chance.random() < 0.8 or today - 1 not in world.fetched:
            world.fetched.append(today)
            await fetch(client, today, world.copies, chance)
        for reader in readers:
            if reader.reads(today):
                await read(client, database, reader)
        for reader in chance.sample(readers, 2):
            await deliver(client, reader)
        if today - 1 in world.fetched and chance.random() < 0.3:
            # In the evening, when digests are written; a test that begins before midnight may end long after it.
            latest = await database.fetchval("select clock_timestamp()")
            await fetch(client, today, world.copies, chance)
            late = "update public.items set first_seen = first_seen - interval '1 day' where first_seen > $1"
            await database.execute(late, latest)
        await pass_a_day(database, readers)
    return world


@pytest.mark.parametrize("seed", range(3))
async def test_no_item_is_shown_twice_and_no_new_item_is_missed(
    seed: int, client: AsyncClient, database: asyncpg.Connection
) -> None:
    readers = [Reader(None), Reader(None), Reader(0), Reader(3)]
    world = await walk(client, database, readers, random.Random(seed))
    assert 10 < len(world.fetched) < WALK, "a day without a fetch"
    for reader in readers:
        last_read = max(day for day in range(DAYS, DAYS + WALK) if reader.reads(day))
        reached = [each for each in world.copies if world.reached(each, last_read)]
        assert len(reached) > 50
        names = named(reader.shown, reached)
        assert [each for each in reached if names.isdisjoint(item_keys(each.article))] == []
