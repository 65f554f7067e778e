"""The emulator on both PostgreSQL versions, and the clients of the contract tests."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from uuid import UUID
from zlib import crc32

import asyncpg
import pytest
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.persistence.readers import Reader
from embedded.stack import Ready
from tests.contract.callers import callers_of
from tests.contract.mornings import TITLES, Mornings
from tests.contract.versions import DIFFERING
from tests.contract.world import World
from tests.support.fixture_types import StartStack
from tests.support.items import copy, save
from tests.support.logs import log_plain_tracebacks
from tests.support.mailer import Mailer
from tests.support.running_stack import running_emulator, running_stack
from tests.support.schedule import Clock, add_reader, enqueued, write_digests
from tests.support.stack_process import settings_for
from tests.support.tasks import LosingTransport

BUNDLED, OLDEST = "bundled", "15"
WANTED = os.environ.get("POSTGRESQL", "turns")
"""`turns`: every other test uses 15, if installed; `bundled` or `15`: all use this one; `all`: `DIFFERING` use both."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the requested versions."""
    if (wanted := WANTED) not in {"turns", BUNDLED, OLDEST, "all"}:
        raise pytest.UsageError(f"POSTGRESQL is {wanted!r}: let it be turns, {BUNDLED}, {OLDEST} or all")
    if running_stack() is not None:
        wanted = BUNDLED
    if _binaries_of_15() is None:
        if wanted == "all":
            return  # each test of version 15 is reported as skipped
        wanted = BUNDLED if wanted == "turns" else wanted
    left: list[pytest.Item] = []
    passed_over: list[pytest.Item] = []
    for item in items:
        (left if _version_of(item) in {None, *_versions_for(item, wanted)} else passed_over).append(item)
    config.hook.pytest_deselected(items=passed_over)
    items[:] = left


def _version_of(item: pytest.Item) -> str | None:
    """The PostgreSQL that a contract test runs on; None for other tests."""
    cases = getattr(item, "callspec", None)
    version = cases.params.get("stack") if cases else None
    return version if version in {BUNDLED, OLDEST} else None


def _versions_for(item: pytest.Item, wanted: str) -> set[str]:
    """The versions on which a contract test runs."""
    if wanted in {BUNDLED, OLDEST}:
        return {wanted}
    module = item.getparent(pytest.Module)
    assert module is not None
    if wanted == "all" and not DIFFERING.isdisjoint(vars(module.obj)):
        return {BUNDLED, OLDEST}
    return {_turn_of(item)}


def _turn_of(item: pytest.Item) -> str:
    """Depends on the test's name, so that other tests do not change it."""
    return (BUNDLED, OLDEST)[crc32(item.location[2].partition("[")[0].encode()) % 2]


@pytest.fixture(scope="session", params=[BUNDLED, OLDEST], ids=["bundled", "postgresql 15"])
def stack(request: pytest.FixtureRequest) -> Ready:
    """The emulator on the bundled PostgreSQL, and on version 15 (the oldest at Supabase) if it is installed.

    Or the stack that `supabase start` runs. pytest sets this fixture up again at each change of the version, so it
    starts no emulator itself.
    """
    if (running := running_stack() or running_emulator()) is not None:
        return running
    if request.param == OLDEST and _binaries_of_15() is None:
        pytest.skip("no initdb of PostgreSQL 15 is on this machine")
    ready: Ready = request.getfixturevalue("stack_of_bundled" if request.param == BUNDLED else "stack_of_15")
    return ready


@pytest.fixture(scope="session")
def stack_of_15(start_stack: StartStack) -> Ready:
    """The emulator on version 15, for the whole run."""
    return start_stack("15", _binaries_of_15())


@pytest.fixture(autouse=True)
def plain_tracebacks(logs_are_restored: None) -> None:  # noqa: ARG001  (it restores the default)
    log_plain_tracebacks()


@cache
def _binaries_of_15() -> Path | None:
    """The folder of a PostgreSQL 15: on the path, or Debian's folder."""
    on_path = [Path(found).resolve() for found in [shutil.which("initdb")] if found]
    for initdb in [*on_path, Path("/usr/lib/postgresql/15/bin/initdb")]:
        if (
            initdb.exists()
            and " 15" in subprocess.run([initdb, "--version"], capture_output=True, text=True, check=False).stdout
        ):
            return initdb.parent
    return None


@pytest.fixture
async def losing_transport() -> LosingTransport:
    return LosingTransport()


@pytest.fixture
async def losing_client(
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
    losing_transport: LosingTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[AsyncClient]:
    """A client that loses the first response to each request and repeats it."""
    monkeypatch.setattr("app.client.transport.FIRST_BACKOFF", 0)
    async with open_supabase(settings_for(stack), transport=losing_transport) as client:
        yield client


@pytest.fixture
async def clock(database: asyncpg.Connection) -> AsyncIterator[Clock]:
    """The schedule's clock, which the test sets."""
    clock = Clock(database)
    yield clock
    await clock.remove()


@pytest.fixture
async def reader(client: AsyncClient, database: asyncpg.Connection, clock: Clock) -> Reader:
    """A reader whose digest of November 24 is written and whose delivery is pending."""
    await clock.set("2026-11-24T06:00:00Z")
    reader = await add_reader(client, email="ada@example.org")
    await clock.set("2026-11-24T07:00:00Z")
    await enqueued(client, database)
    assert await write_digests(client, "T") == 1
    return reader


@pytest.fixture
async def mails(client: AsyncClient, database: asyncpg.Connection, clock: Clock) -> list[UUID]:
    """The pending mails of a reader for eight days, sorted by id."""
    await clock.set("2026-11-20T06:00:00Z")
    await add_reader(client, external_id="r", email="a@example.org")
    for day in range(20, 28):
        await clock.set(f"2026-11-{day}T07:00:00Z")
        await enqueued(client, database)
        await write_digests(client, f"T{day}")
    await database.execute("update public.deliveries set skip_after = null")
    return [row[0] for row in await database.fetch("select delivery_id from public.deliveries order by delivery_id")]


@pytest.fixture
async def mailer(client: AsyncClient, reader: Reader) -> Mailer:
    assert reader.email is not None
    return Mailer(client)


@pytest.fixture
async def mornings(client: AsyncClient, database: asyncpg.Connection, clock: Clock) -> Mornings:
    """A reader with one new item."""
    mornings = Mornings(client, database, clock)
    await mornings.begin()
    await save(client, copy(external_id="1", title=TITLES[0]))
    return mornings


@pytest.fixture
async def world(stack: Ready, database: asyncpg.Connection, client: AsyncClient) -> AsyncIterator[World]:
    async with callers_of(stack) as callers:
        world = World(callers, database)
        await world.furnish(client)
        yield world
