"""Requests of callers: atomic batches, separate keys, the daily quota, and shared fetches."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.errors import PermanentError
from app.fetch_service import FetchService
from app.models.tasks import TaskKind
from app.persistence.outcomes import Completed, Failed, Snoozed
from app.persistence.queue import ClaimedTask
from app.persistence.tasks import TaskStateManager
from embedded.stack import Ready
from tests.contract.callers import DIGEST, Callers, callers_of
from tests.support.tasks import DAY, Claimer, somebody_waits
from worker.handlers.fetch import FetchHandler
from worker.job import Job, Snooze

NEVER = FetchService(None, None, ())  # type: ignore[arg-type]  # (a request never fetches)


@pytest.fixture
async def callers(stack: Ready, database_reset: None) -> AsyncIterator[Callers]:  # noqa: ARG001  (run first)
    async with callers_of(stack) as callers:
        yield callers


@pytest.fixture
async def frugal(stack: Ready, database_reset: None) -> AsyncIterator[Callers]:  # noqa: ARG001  (run first)
    """Callers with a quota of five digests a day."""
    async with callers_of(stack, daily_digests=5) as callers:
        yield callers


def batch(count: int, **changes: Any) -> dict[str, Any]:
    digests = [DIGEST | {"max_papers": n % 50} for n in range(count)]
    digests[-1] |= changes
    return {"digests": digests}


async def count_of(database: asyncpg.Connection, table: str = "tasks") -> int:
    return int(await database.fetchval(f"select count(*) from public.{table}"))


async def post(client: httpx.AsyncClient, body: dict[str, Any], key: str | None = None) -> httpx.Response:
    path = "/v1/digests/batch" if "digests" in body else "/v1/digests"
    return await client.post(path, json=body, headers={"Idempotency-Key": key} if key else {})


async def test_a_batch_of_500_sent_twice_is_one(callers: Callers, database: asyncpg.Connection) -> None:
    first, second = await post(callers.ada, batch(500), "b"), await post(callers.ada, batch(500), "b")
    assert (first.status_code, second.status_code) == (202, 202)
    ids = [task["task_id"] for task in first.json()["tasks"]]
    assert ids == [task["task_id"] for task in second.json()["tasks"]]
    assert (len(set(ids)), await count_of(database), await count_of(database, "queue")) == (500, 500, 500)
    sizes = await database.fetch(
        "select (payload ->> 'max_papers')::int from public.tasks order by task_id = any ($1)", ids
    )
    assert sorted(size[0] for size in sizes) == sorted(n % 50 for n in range(500))


@pytest.mark.parametrize(
    "bad", [{"max_papers": 51}, {"callback_url": "http://127.0.0.1/"}, {"source_date": "2999-01-01"}]
)
async def test_one_invalid_item_refuses_the_whole_batch(
    bad: dict[str, Any], callers: Callers, database: asyncpg.Connection
) -> None:
    refused = await post(callers.ada, batch(500, **bad), "b")
    assert refused.status_code == 422, refused.text
    assert await count_of(database) == 0


@pytest.mark.parametrize("other", [batch(3, max_papers=7), batch(2), batch(4), {"digests": batch(3)["digests"][::-1]}])
async def test_another_batch_under_the_same_key_is_refused(
    other: dict[str, Any], callers: Callers, database: asyncpg.Connection
) -> None:
    await post(callers.ada, batch(3), "b")
    refused = await post(callers.ada, other, "b")
    assert (refused.status_code, refused.json()["title"]) == (422, "Idempotency key reused")
    assert await count_of(database) == 3


async def test_twenty_concurrent_repetitions_of_a_batch_are_one(callers: Callers, database: asyncpg.Connection) -> None:
    answers = await asyncio.gather(*(post(callers.ada, batch(50), "b") for _ in range(20)))
    assert len({answer.text.replace(" ", "") for answer in answers if answer.status_code == 202}) >= 1
    assert {answer.status_code for answer in answers} == {202}
    assert await count_of(database) == 50


async def test_a_batch_of_0_or_501_items_is_refused(callers: Callers) -> None:
    assert (await post(callers.ada, {"digests": []})).status_code == 422
    assert (await post(callers.ada, batch(501))).status_code == 422


async def test_a_large_batch_is_accepted_and_a_larger_body_is_refused(callers: Callers) -> None:
    large = [DIGEST | {"profile": {"name": "Ada", "goals": "g" * 1900}}] * 500
    assert (await post(callers.ada, {"digests": large})).status_code == 202
    large = [DIGEST | {"profile": {"name": "A" * 5000}}] * 500
    assert (await post(callers.ada, {"digests": large})).status_code == 413


async def test_idempotency_keys_of_two_callers_are_independent(callers: Callers, database: asyncpg.Connection) -> None:
    for body in (DIGEST, batch(2)):
        mine, theirs = await post(callers.ada, body, "k"), await post(callers.bot, body, "k")
        assert (mine.status_code, theirs.status_code) == (202, 202)
        assert mine.json() != theirs.json()
    assert await count_of(database) == 6


async def test_the_daily_quota_holds_and_repetitions_do_not_count(
    frugal: Callers, database: asyncpg.Connection
) -> None:
    assert (await post(frugal.ada, batch(3), "b")).status_code == 202
    assert (await post(frugal.ada, batch(3), "b")).status_code == 202
    assert (await post(frugal.ada, batch(3))).status_code == 429, "all or nothing"
    assert [(await post(frugal.ada, DIGEST, f"k{n}")).status_code for n in (0, 1, 2)] == [202, 202, 429]
    refused = await post(frugal.ada, DIGEST)
    assert (refused.status_code, refused.json()["title"]) == (429, "Quota exceeded")
    assert refused.headers["content-type"] == "application/problem+json"
    left = await database.fetchval(
        "select extract(epoch from date_trunc('day', now(), 'UTC') + interval '1 day' - now())"
    )
    assert abs(int(refused.headers["retry-after"]) - float(left)) < 5
    assert [(await post(frugal.ada, DIGEST, f"k{n}")).status_code for n in (0, 1)] == [202, 202], "the tasks exist"
    assert (await post(frugal.bot, batch(5))).status_code == 202, "another caller has a separate quota"
    assert (await frugal.ada.post("/v1/fetches", json={})).status_code == 202
    await database.execute("update public.daily_usage set day = day - 1")
    assert (await post(frugal.ada, batch(5))).status_code == 202
    assert await database.fetchval("select count(*) from public.tasks where kind = 'digest'") == 15


async def test_concurrent_requests_do_not_exceed_the_daily_quota(frugal: Callers, database: asyncpg.Connection) -> None:
    answers = await asyncio.gather(*(post(frugal.ada, DIGEST) for _ in range(40)))
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [429] * 35
    assert (await count_of(database), await count_of(database, "queue")) == (5, 5)


async def test_a_request_waits_for_an_uncommitted_one_of_its_caller(stack: Ready, database: asyncpg.Connection) -> None:
    order = "select public.count_usage('ada', 5, 5)"
    await database.execute(order.replace("5, 5", "0, 5"))
    other = await asyncpg.connect(stack.database_url)
    first = database.transaction()
    await first.start()
    assert await database.fetchval(order) is None
    second = asyncio.create_task(other.fetchval(order))
    await somebody_waits(database)
    await first.commit()
    assert json.loads(await second)["ordered"] == 5
    await other.close()


async def post_fetch(client: httpx.AsyncClient) -> str:
    return str((await client.post("/v1/fetches", json={"source_date": DAY.isoformat()})).json()["task_id"])


class Fetches:
    """Executes a worker's claims with the worker's handler, but without reading sources."""

    def __init__(self, client: AsyncClient) -> None:
        self.worker = Claimer(client, kinds=[TaskKind.FETCH])
        self.handler = FetchHandler(NEVER, TaskStateManager(client))
        self.own: list[ClaimedTask] = []

    async def turn(self) -> None:
        """Claim and complete all ready tasks, except the service's own fetches, which stay running."""
        for task in await self.worker.claim():
            if not task.payload.get("shared"):
                self.own.append(task)
                continue
            try:
                outcome: Any = Completed(await self.handler(Job(task, 0.0, lambda *_: None)))
            except Snooze as snooze:
                outcome = Snoozed(snooze.delay, snooze.reason, snooze.waits_for)
            except PermanentError as error:
                outcome = Failed(str(error), None)
            await self.worker.finish(task, outcome)

    async def end_own(self, outcome: Completed | Failed) -> None:
        await self.worker.finish(self.own.pop(), outcome)


async def test_cancelling_a_shared_fetch_does_not_end_it_for_others(
    callers: Callers, client: AsyncClient, database: asyncpg.Connection
) -> None:
    fetches, mine, theirs = Fetches(client), await post_fetch(callers.ada), await post_fetch(callers.bot)
    await fetches.turn()
    await fetches.turn()
    shared = await database.fetchrow("select task_id, status from public.task_records where owner = 'system'")
    assert shared["status"] == "running"
    left = await callers.ada.post(f"/v1/fetches/{mine}/cancel")
    assert left.json()["status"] == "cancelled"
    assert (await callers.bot.post(f"/v1/fetches/{shared['task_id']}/cancel")).status_code == 404
    assert (await callers.bot.get(f"/v1/fetches/{theirs}")).json()["message"] == f"waiting for the fetch of {DAY}"
    await fetches.end_own(Completed({}))
    await fetches.turn()
    assert (await callers.bot.get(f"/v1/fetches/{theirs}")).json()["status"] == "completed"
    assert await database.fetchval("select count(*) from public.tasks where owner = 'system'") == 1


async def test_a_request_after_a_fetch_has_ended_starts_another(
    callers: Callers, client: AsyncClient, database: asyncpg.Connection
) -> None:
    fetches = Fetches(client)
    for outcome, status in ((Completed({}), "completed"), (Failed("arXiv is down", None), "failed")):
        task_id = await post_fetch(callers.ada)
        await fetches.turn()
        await fetches.turn()
        await fetches.end_own(outcome)
        await fetches.turn()
        found = (await callers.ada.get(f"/v1/fetches/{task_id}")).json()
        assert (found["status"], found["error"] and "arXiv is down" in found["error"]) == (
            status,
            None if status == "completed" else True,
        )
    assert await database.fetchval("select count(*) from public.tasks where owner = 'system'") == 2


async def test_an_admin_can_cancel_the_shared_fetch_for_all(callers: Callers, client: AsyncClient) -> None:
    fetches, task_id = Fetches(client), await post_fetch(callers.ada)
    await fetches.turn()
    listed = await callers.root.get("/v1/tasks", params={"owner": "system"})
    (own,) = listed.json()["tasks"]
    assert (await callers.root.post(f"{own['url']}/cancel")).status_code == 202
    await fetches.turn()
    found = (await callers.ada.get(f"/v1/fetches/{task_id}")).json()
    assert (found["status"], found["error"]) == ("failed", f"{DAY} could not be fetched: cancelled")
