"""Rejections of, and unreadable responses to, calls with outcomes: errors not caused by the data lose nothing."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from tests.support.proxy import Answer, Call, Proxy, Times
from tests.support.running_worker import StartWorker, until_ended, until_status
from tests.support.tasks import create
from worker.job import Job


def error(status: int, code: str, message: str = "no") -> Answer:
    return Answer(status, json.dumps({"code": code, "details": None, "hint": None, "message": message}))


EMPTY = error(400, "", "")
REFUSALS = {
    "the empty 400": EMPTY,
    "gateway's 401": Answer(401, '{"message": "Invalid API key"}'),
    "HTML 403": Answer(403, "<html>Attention required</html>"),
    "gateway's 404": Answer(404, '{"message": "no Route matched with those values"}'),
    "HTML 404": Answer(404, "<html>Not found</html>"),
    "PGRST301": error(401, "PGRST301", "JWT expired"),
    "42501": error(403, "42501", "permission denied for function sync_worker"),
    "PGRST202": error(404, "PGRST202", "Could not find the function"),
    "a constraint that refuses every call": error(400, "23514", "injected_rule"),
}


async def at_once(_job: Job) -> dict[str, Any]:
    return {"ok": True}


@pytest.mark.parametrize("applied", [False, True], ids=["not applied", "applied"])
@pytest.mark.parametrize("refusal", [name for name in REFUSALS if "every call" not in name])
async def test_a_temporary_refusal_costs_no_finished_work(
    refusal: str,
    applied: bool,
    client: AsyncClient,
    database: asyncpg.Connection,
    proxy: Proxy,
    start_worker: StartWorker,
) -> None:
    trouble = Times(REFUSALS[refusal], 3, lambda call: call.completes)
    if applied:
        proxy.after = trouble
    else:
        proxy.before = trouble
    await start_worker(at_once, url=proxy.url)
    task = await create(client)
    row = await until_ended(database, task.task_id)
    assert (row["status"], row["attempt"], row["error"]) == ("completed", 1, None)
    async with asyncio.timeout(30):
        while not trouble.given:
            await asyncio.sleep(0.02)
    after = await until_ended(database, (await create(client)).task_id)
    assert (after["status"], after["attempt"]) == ("completed", 1)


async def test_three_empty_400s_after_an_applied_claim_lose_no_task(
    client: AsyncClient, database: asyncpg.Connection, proxy: Proxy, start_worker: StartWorker
) -> None:
    tasks = [await create(client) for _ in range(5)]
    proxy.after = trouble = Times(EMPTY, 3, lambda call: call.claims)
    await start_worker(at_once, url=proxy.url)
    for task in tasks:
        row = await until_ended(database, task.task_id)
        assert (row["status"], row["attempt"]) == ("completed", 1)
    assert trouble.given


async def test_a_temporary_data_error_of_all_calls_fails_no_task(
    client: AsyncClient, database: asyncpg.Connection, proxy: Proxy, start_worker: StartWorker
) -> None:
    refusal = REFUSALS["a constraint that refuses every call"]
    rejected = False

    def from_the_first_completion(call: Call) -> bool:
        nonlocal rejected
        rejected |= call.completes
        return rejected and call.name == "sync_worker"

    proxy.before = trouble = Times(refusal, 3, from_the_first_completion)
    await start_worker(at_once, url=proxy.url, lease=6)
    task = await create(client)
    row = await until_ended(database, task.task_id)
    assert (row["status"], row["attempt"], trouble.given) == ("completed", 1, True)


async def test_a_refused_outcome_fails_only_its_own_task(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    together = asyncio.Barrier(3)

    async def work(job: Job) -> dict[str, Any]:
        await together.wait()
        return dict(job.task.payload)

    await database.execute(
        "alter table public.tasks add constraint injected_rule check (result ->> 'is' is distinct from 'bad')"
    )
    try:
        await start_worker(work)
        bad = await create(client, payload={"is": "bad"})
        good = [await create(client, payload={"is": "good"}) for _ in range(2)]
        row = await until_ended(database, bad.task_id)
        assert (row["status"], row["attempt"]) == ("failed", 1)
        assert "rejected the outcome" in row["error"]
        assert "injected_rule" in row["error"]
        assert [(await until_ended(database, task.task_id))["status"] for task in good] == ["completed"] * 2
    finally:
        await database.execute("alter table public.tasks drop constraint injected_rule")


async def test_a_payload_that_is_not_an_object_is_refused(database: asyncpg.Connection) -> None:
    for payload in ("[]", "null", '"text"', "7"):
        with pytest.raises(asyncpg.CheckViolationError):
            await database.execute(
                "insert into public.tasks (task_id, kind, payload, request_hash)"
                " values (gen_random_uuid(), 'fetch', $1::text::jsonb, 'test')",
                payload,
            )


async def test_an_unreadable_row_fails_and_the_others_complete(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    tasks = [await create(client) for _ in range(5)]
    # A date that Python cannot represent.
    await database.execute("update public.tasks set source_date = '20000-01-01' where task_id = $1", tasks[2].task_id)
    await start_worker(at_once)
    await until_status(database, "completed", 4)
    failed = await database.fetchrow(
        "select status, error, attempt from public.tasks where task_id = $1", tasks[2].task_id
    )
    assert (failed["status"], failed["attempt"]) == ("failed", 1)
    assert "cannot read the task" in failed["error"]


@pytest.mark.parametrize("answer", ['{"number": 1, "outc', "[]", '{"message": "odd"}', '{"n": ' + "1" * 5000 + "}"])
async def test_an_unreadable_response_stops_no_worker(
    answer: str, client: AsyncClient, database: asyncpg.Connection, proxy: Proxy, start_worker: StartWorker
) -> None:
    unreadable: set[int] = set()

    async def of_the_first_completion(call: Call) -> Answer | None:
        """Every response to one call number is unreadable, as a stored response would be."""
        if call.completes and not unreadable:
            unreadable.add(call.body["p_number"])
        return Answer(200, answer) if call.body.get("p_number") in unreadable else None

    proxy.after = of_the_first_completion
    await start_worker(at_once, url=proxy.url)
    first = await create(client)
    assert (await until_ended(database, first.task_id))["status"] == "completed"
    second = await create(client)
    row = await until_ended(database, second.task_id)
    assert (row["status"], row["attempt"]) == ("completed", 1)
    (number,) = unreadable
    assert sum(call.body.get("p_number") == number for call in proxy.calls) == 3
