"""Callbacks about conditions, sent by the real monitor to a real receiver: once when one begins, once when it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import asyncpg
import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs
from supabase import AsyncClient

from app.conditions.monitor import ConditionMonitor, OperatorCallbacks
from app.external.callback_sender import CallbackSender
from app.external.client import open_external
from app.persistence.condition_states import ConditionStates
from app.persistence.health import Health
from tests.support.callback_receiver import Receiver
from tests.support.operators import healthy_worker
from tests.support.processes import WEBHOOK_SECRET

GONE = "update public.workers set seen_at = now() - interval '5 minutes'"
HEALTHY = "update public.workers set seen_at = now()"
AGE_REPORT = "update public.condition_states set reported_at = reported_at - interval '61 minutes'"
AGE_SIGHT = "update public.condition_states set seen_at = now() - interval '4 minutes'"


class Watch:
    """A receiver, and monitors that share the database."""

    def __init__(self, client: AsyncClient, receiver: Receiver, sender: CallbackSender) -> None:
        self.receiver = receiver
        callbacks = OperatorCallbacks(sender, receiver.url)
        self.monitor = ConditionMonitor(Health(client), ConditionStates(client), callbacks, random=Random(1))

    async def received(self) -> list[dict[str, Any]]:
        """Let the monitor run once; returns all events so far, in the order of their arrival."""
        await self.monitor.run_once()
        return [dict(body) for body in self.receiver.bodies.values() if isinstance(body, dict)]


@pytest.fixture
async def watch(client: AsyncClient, database: asyncpg.Connection) -> AsyncIterator[Watch]:
    await healthy_worker(database)
    receiver = Receiver()
    await receiver.start()
    async with AsyncExitStack() as opened:
        opened.push_async_callback(receiver.stop)
        http = await opened.enter_async_context(open_external())
        yield Watch(client, receiver, CallbackSender(http, [Webhook(WEBHOOK_SECRET)], private=True))


async def test_a_condition_that_begins_and_ends_has_two_callbacks(watch: Watch, database: asyncpg.Connection) -> None:
    assert await watch.received() == []
    await database.execute(GONE)
    (began,) = await watch.received()
    assert (began["type"], began["data"]["condition"]) == ("condition.began", "no_worker")
    assert began["text"] == began["content"]
    assert began["text"].startswith("Broadsheet: [critical] No worker is alive: no task is processed.")
    assert len(await watch.received()) == 1, "it still holds"
    await database.execute(HEALTHY)
    assert len(await watch.received()) == 1, "another process may still see it"
    await database.execute(AGE_SIGHT)
    assert len(await watch.received()) == 1, "there was a callback in this hour"
    await database.execute(AGE_REPORT)
    _, ended = await watch.received()
    assert ended["type"] == "condition.ended"
    assert ended["text"] == "Broadsheet: Ended: no worker is alive, so no task is processed."
    assert watch.receiver.arrived.total() == 2


async def test_a_condition_has_one_callback_an_hour(watch: Watch, database: asyncpg.Connection) -> None:
    for _ in range(4):
        await database.execute(GONE)
        await watch.received()
        await database.execute(f"{HEALTHY}; {AGE_SIGHT}")
        await watch.received()
    assert watch.receiver.arrived.total() == 1


async def test_many_processes_send_one_callback(watch: Watch, database: asyncpg.Connection) -> None:
    await database.execute(GONE)
    await asyncio.gather(*(watch.monitor.run_once() for _ in range(8)))
    assert watch.receiver.arrived.total() == 1


async def test_a_failed_callback_is_repeated_and_no_condition(watch: Watch, database: asyncpg.Connection) -> None:
    watch.receiver.failures = 1
    await database.execute(GONE)
    with capture_logs() as logs:
        assert await watch.received() == []
    assert [each["condition"] for each in logs if each["event"] == "operator callback not delivered yet"] == [
        "no_worker"
    ]
    assert watch.receiver.url not in str(logs)
    await watch.received()
    assert watch.receiver.arrived.total() == 1, "not before its next attempt"
    await database.execute("update public.condition_states set retry_at = now()")
    assert len(await watch.received()) == 1
    assert list(watch.receiver.arrived.values()) == [2], "under the same id"
    names = await database.fetch("select name from public.condition_states")
    assert [row["name"] for row in names] == ["no_worker"]


async def test_a_condition_that_ended_unreported_is_forgotten(watch: Watch, database: asyncpg.Connection) -> None:
    watch.receiver.failures = 1
    await database.execute(GONE)
    await watch.received()
    await database.execute(f"{HEALTHY}; {AGE_SIGHT}; update public.condition_states set retry_at = now()")
    assert await watch.received() == []
