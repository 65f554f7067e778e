"""The new items of a reader: since the last digest, without shown ones; missing sources; fetches to wait for."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.digest.scheduled import PermanentWaits
from app.models.articles import EditionStatus
from app.models.tasks import TaskKind
from app.persistence.editions import Editions
from app.persistence.items import ArrivalDay, Items, NewItems
from app.persistence.outcomes import Completed, Snoozed
from app.persistence.tasks import TaskStateManager
from tests.support.items import ARXIV, TITLE, TODAY, age, copy, record_shown, save, seen
from tests.support.schedule import had_digest
from tests.support.tasks import Claimer, create

READER = UUID("00000000-0000-4000-8000-0000000000ab")
OTHER = UUID("00000000-0000-4000-8000-0000000000ac")


async def news(client: AsyncClient, reader: UUID = READER) -> NewItems:
    return await Items(client).new_items_for(reader)


async def now(database: asyncpg.Connection) -> datetime:
    found: datetime = await database.fetchval("select now()")
    return found


@pytest.mark.parametrize(("last_days_ago", "reach"), [(0, 2), (1, 3), (7, 9), (14, 16), (400, 16), (None, 7)])
async def test_new_items_start_two_days_before_the_last_digest(
    last_days_ago: int | None, reach: int, client: AsyncClient, database: asyncpg.Connection
) -> None:
    await save(client, copy(**ARXIV))
    last = None if last_days_ago is None else await now(database) - timedelta(days=last_days_ago)
    if last is not None:
        await had_digest(database, READER, last)
    await age(database, reach)
    found = await news(client)
    assert found.last_digest == last
    assert [day.day for day in found.days] == [TODAY - timedelta(days=reach)]
    await age(database, 1)
    assert (await news(client)).days == ()


async def test_a_day_has_its_item_count_and_last_change(client: AsyncClient, database: asyncpg.Connection) -> None:
    await save(client, copy(**ARXIV), copy(external_id="2"))
    (before,) = (await news(client)).days
    assert before == ArrivalDay(
        day=TODAY, items=2, changed_at=await database.fetchval("select now()") - timedelta(0)
    ) or (before.items == 2)
    await save(client, copy(**ARXIV, abstract="Now with one."))
    (after,) = (await news(client)).days
    assert (after.items, after.changed_at > before.changed_at) == (2, True)


async def test_shown_items_are_known_by_every_key_to_their_reader_only(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await save(client, copy(**ARXIV, title=TITLE))
    (item,) = await seen(client)
    for _ in range(2):
        await record_shown(client, READER, item.keys[:1])
        assert {row["key"] for row in await database.fetch("select key from public.shown_items")} == set(item.keys)
    await save(client, copy(title=TITLE, doi="10.1038/x"))
    await save(client, copy(external_id="n", doi="10.1038/x"))
    assert (await news(client)).shown == {item.item_id}
    assert (await news(client, reader=OTHER)).shown == frozenset()


async def test_an_item_shown_before_a_merge_is_shown_after_it(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await save(client, copy(**ARXIV), copy(doi="10.1038/x", title=TITLE))
    by_doi = next(item for item in await seen(client) if item.article.doi)
    await record_shown(client, READER, by_doi.keys)
    await database.execute(
        "update public.items set first_seen = first_seen + interval '1 ms' where item_id = $1", by_doi.item_id
    )
    await save(client, copy(external_id="both", arxiv_id="2611.00001", doi="10.1038/x"))
    (item,) = await seen(client)
    assert item.item_id != by_doi.item_id
    assert (await news(client)).shown == {item.item_id}


async def test_keys_of_a_removed_item_are_still_recorded(client: AsyncClient, database: asyncpg.Connection) -> None:
    await record_shown(client, READER, ["doi:10.1038/x"])
    await save(client, copy(doi="10.1038/x"))
    assert len((await news(client)).shown) == 1
    assert await database.fetchval("select count(*) from public.shown_items") == 1


async def test_missing_sources_are_reported_by_day(client: AsyncClient) -> None:
    yesterday, before = TODAY - timedelta(days=1), TODAY - timedelta(days=2)
    for day, errors in ((before, {"arxiv": "429", "feed:x": "gone"}), (yesterday, {"arxiv": "timed out"})):
        await Editions(client).begin_edition(day)
        await Editions(client).finish_edition(day, EditionStatus.PARTIAL, errors)
    found = {missing.source: (missing.days, missing.reason) for missing in (await news(client)).missing}
    assert found == {"arxiv": ((before, yesterday), "timed out"), "feed:x": ((before,), "gone")}
    await Editions(client).finish_edition(before, EditionStatus.COMPLETED, {})
    assert [missing.days for missing in (await news(client)).missing] == [(yesterday,)]


async def test_only_a_running_fetch_is_reported(client: AsyncClient) -> None:
    tasks, worker = TaskStateManager(client), Claimer(client, kinds=[TaskKind.FETCH])
    await create(client, source_date=TODAY)
    assert (await news(client)).fetching is None, "a caller's"
    await tasks.ensure_fetch(TODAY - timedelta(days=90))
    assert (await news(client)).fetching is None, "too old"
    wanted = await tasks.ensure_fetch(TODAY - timedelta(days=1))
    assert (await news(client)).fetching == wanted.task_id
    claimed = {task.task_id: task for task in await worker.claim()}
    assert (await news(client)).fetching == wanted.task_id
    await worker.finish(claimed[wanted.task_id], Snoozed(timedelta(hours=1), "arXiv is busy"))
    assert (await news(client)).fetching is None, "it is snoozed for longer than digests wait"
    again = await tasks.ensure_fetch(TODAY - timedelta(days=2))
    (task,) = await worker.claim()
    assert (await news(client)).fetching == again.task_id == task.task_id
    await worker.finish(task, Completed({}))
    assert (await news(client)).fetching is None


async def test_a_fetch_that_is_retried_soon_is_reported(client: AsyncClient) -> None:
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    fetch = await TaskStateManager(client).ensure_fetch(TODAY - timedelta(days=1))
    (task,) = await worker.claim()
    await worker.finish(task, Snoozed(timedelta(minutes=1), "arXiv recovers"))
    assert (await news(client)).fetching == fetch.task_id


async def test_a_digest_waits_at_most_ten_minutes_for_a_fetch(client: AsyncClient) -> None:
    fetch = await TaskStateManager(client).ensure_fetch(TODAY)
    found = await news(client)
    assert found.fetching == fetch.task_id
    waits = PermanentWaits()
    assert waits.for_running_fetch(timedelta(minutes=9, seconds=59)) == timedelta(seconds=1)
    assert waits.for_running_fetch(timedelta(minutes=10)) == timedelta(0)


async def test_shown_items_are_removed_a_month_after_the_articles(database: asyncpg.Connection) -> None:
    await database.execute(
        "insert into public.shown_items"
        " select $1, 'k' || n, now() - n * interval '1 day' from generate_series(58, 62) n",
        uuid4(),
    )
    await database.fetchval("select public.apply_retention(30, 30, 500)")
    assert [row["key"] for row in await database.fetch("select key from public.shown_items")] == ["k58", "k59"]
