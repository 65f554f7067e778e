"""A due digest is enqueued even if its reader's schedule changes first, by any kind of change."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.links import Link, Links
from app.persistence.deliveries import DeliveryStatus
from app.persistence.readers import Reader, Readers
from app.persistence.schedule import Schedule
from embedded.stack import Ready
from tests.contract.callers import Callers, callers_of
from tests.contract.users import as_user
from tests.support.mailer import Mailer
from tests.support.schedule import Clock, add_reader, break_zone, enqueued, payload, write_digests

DAY = date(2026, 11, 24)
DUE = datetime(2026, 11, 24, 7, tzinfo=UTC)
SECRET = "s" * 32


@dataclass
class World:
    """A reader who was due a moment ago, and all clients that can change the schedule."""

    stack: Ready
    client: AsyncClient
    database: asyncpg.Connection
    callers: Callers
    reader: Reader

    async def change(self, **columns: Any) -> None:
        await Readers(self.client).change(self.reader.reader_id, columns)

    async def status(self, *statuses: str) -> None:
        for status in statuses:
            await self.change(status=status)


@asynccontextmanager
async def due_world(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> AsyncIterator[World]:
    await clock.set("2026-11-24T06:00:00Z")
    reader = await add_reader(client, owner="ada", external_id="r", email="r@example.org", user_id=str(uuid4()))
    assert reader.next_due_at == DUE
    await clock.set("2026-11-24T07:00:30Z")
    async with callers_of(stack, link_secret=SECRET) as callers:
        yield World(stack, client, database, callers, reader)


@pytest.fixture
async def world(stack: Ready, client: AsyncClient, database: asyncpg.Connection, clock: Clock) -> AsyncIterator[World]:
    async with due_world(stack, client, database, clock) as world:
        yield world


async def by_the_api(world: World) -> None:
    answer = await world.callers.ada.patch(f"/v1/readers/{world.reader.reader_id}", json={"send_at": "21:00"})
    assert answer.status_code == 200


async def by_an_import(world: World) -> None:
    line = json.dumps({"external_id": "r", "name": "Ada", "timezone": "America/Los_Angeles", "send_at": "09:00"})
    answer = await world.callers.ada.post("/v1/readers/import", content=line)
    assert answer.json()["changed"] == 1


async def by_the_readers_page(world: World) -> None:
    link = Links([SECRET], "").sign("schedule", Link(world.reader.reader_id, 1, DAY))
    form = {"timezone": "Pacific/Auckland", "send_at": "06:30", "weekdays": ["1", "5"], "when_empty": "skip"}
    page = await world.callers.ada.post(f"/r/schedule/{link}", data=form)
    assert page.status_code < 400


async def by_the_user(world: World) -> None:
    async with as_user(world.stack, world.reader.user_id) as http:
        answer = await http.patch("/readers?reader_id=not.is.null", json={"send_at": "21:00", "weekdays": [3]})
    assert answer.is_success


CHANGES: dict[str, Callable[[World], Awaitable[None]]] = {
    "the API": by_the_api,
    "an import": by_an_import,
    "the reader's page": by_the_readers_page,
    "the user, under row security": by_the_user,
    "a pause": lambda world: world.status("paused"),
    "a pause and its end": lambda world: world.status("paused", "active"),
    "leaving and coming back": lambda world: world.status("unsubscribed", "active"),
    "another timezone": lambda world: world.change(timezone="Asia/Tokyo"),
    "no schedule any more": lambda world: world.change(timezone=None, send_at=None),
    "two changes": lambda world: world.status("paused", "active", "paused"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_due_digest_is_enqueued_after_a_schedule_change(
    world: World, change: Callable[[World], Awaitable[None]]
) -> None:
    await change(world)
    planned = (await Readers(world.client).get(world.reader.reader_id)).next_due_at
    assert planned is None or planned > DUE
    for _ in range(2):
        assert await enqueued(world.client, world.database) == [(world.reader.reader_id, DAY)]
    stored = payload(await world.database.fetchrow("select payload from public.tasks where kind = 'digest'"))
    assert datetime.fromisoformat(stored["scheduled"]["due_at"]) == DUE
    kept = await Readers(world.client).get(world.reader.reader_id)
    assert (kept.next_due_at, kept.schedule_problem) == (planned, None)


async def test_a_user_cannot_change_when_a_digest_is_due(world: World) -> None:
    async with as_user(world.stack, world.reader.user_id) as http:
        for column, value in {"overdue_day": "2026-11-20", "overdue_at": "2026-11-20T07:00Z"}.items():
            answer = await http.patch("/readers?reader_id=not.is.null", json={column: value})
            assert answer.status_code == 403


async def test_only_the_latest_missed_digest_is_written(world: World, clock: Clock) -> None:
    await world.change(send_at="09:00")
    await clock.set("2026-11-25T06:59:00Z")
    assert await enqueued(world.client, world.database) == [(world.reader.reader_id, DAY)]
    await world.change(send_at="08:00")
    await clock.set("2026-11-26T08:00:00Z")
    await world.change(send_at="10:00")
    assert [day for _, day in await enqueued(world.client, world.database)] == [DAY, date(2026, 11, 26)]


async def test_a_digest_due_a_day_ago_is_omitted(world: World, clock: Clock) -> None:
    await world.status("paused")
    await clock.set("2026-11-25T07:00:30Z")
    assert await enqueued(world.client, world.database) == []
    assert await world.database.fetchval("select count(*) from public.readers where overdue_at is not null") == 0


async def test_a_repeated_local_day_keeps_its_mail(world: World, clock: Clock) -> None:
    await world.change(send_at="09:00")
    await enqueued(world.client, world.database)
    await clock.set("2026-11-24T08:00:00Z")
    assert await enqueued(world.client, world.database) == [(world.reader.reader_id, DAY)]
    await write_digests(world.client, "T")
    late = await world.database.fetchval("select skip_after from public.deliveries")
    assert late == datetime(2026, 11, 25, 8, tzinfo=UTC)


async def test_a_removed_time_zone_makes_no_digest_due(world: World) -> None:
    await break_zone(world.database, world.reader.reader_id)
    await world.change(timezone="Europe/Paris")
    assert await enqueued(world.client, world.database) == []


async def test_a_pause_skips_the_mail_but_not_the_digest(world: World) -> None:
    await world.status("paused")
    await Schedule(world.client).enqueue_due()
    assert await write_digests(world.client, "T") == 1
    mailer = Mailer(world.client)
    stop = await mailer.begin(await mailer.claim())
    assert (stop.status, stop.reason) == (DeliveryStatus.SKIPPED, "the reader is paused")
