"""Anything that a handler raises or returns ends its own task, frees its slot, and affects no other task."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import PermanentError
from tests.support.running_worker import StartWorker, until_ended
from tests.support.tasks import create
from worker.job import Job, Snooze


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("even its text fails")


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def holding_itself() -> dict[str, Any]:
    result: dict[str, Any] = {}
    result["self"] = result
    return result


def deep(levels: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for _ in range(levels):
        result = {"in": result}
    return result


def wide() -> dict[str, Any]:
    """60 levels, each containing the next twice: small in memory, and endless when serialized."""
    result: list[Any] = []
    for _ in range(60):
        result = [result, result]
    return {"wide": result}


FAULTS = {
    "KeyboardInterrupt": (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    "SystemExit": (raising(SystemExit(3)), "SystemExit: 3"),
    "GeneratorExit": (raising(GeneratorExit()), "GeneratorExit"),
    "its own cancellation": (raising(asyncio.CancelledError("inside")), "CancelledError: inside"),
    "a group": (raising(BaseExceptionGroup("several", [SystemExit(1), ValueError()])), "several"),
    "an error without a text": (raising(Unspeakable()), "Unspeakable: (its text"),
    "a permanent error without a text": (raising(PermanentError(Unspeakable())), "(its text"),
    "a snooze without a time": (raising(Snooze(cast(timedelta, "soon"), "later")), "cannot be stored"),
    "a snooze beyond all times": (raising(Snooze(timedelta.max, "later")), "rejected the outcome"),
    "None": (lambda: None, "must be a JSON object, not of type NoneType"),
    "a list": (lambda: [1], "must be a JSON object, not of type list"),
    "what holds itself": (holding_itself, "more than 100 levels"),
    "5,000 levels": (lambda: deep(5000), "more than 100 levels"),
    "a whole without end": (wide, "50000 parts"),
    "an object": (lambda: {"object": object()}, "cannot be written as JSON"),
    "a number of 5,000 digits": (lambda: {"n": 10**5000}, "cannot be written as JSON"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_ends_only_its_own_task_and_frees_its_slot(
    fault: str, client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    raise_fault, message = FAULTS[fault]
    both = asyncio.Barrier(2)

    async def work(job: Job) -> Any:
        if job.task.payload.get("part") != "after":
            await both.wait()  # so that one call sends both outcomes
        return raise_fault() if job.task.payload.get("part") == "culprit" else {"ok": True}

    worker = await start_worker(work, concurrency=2)
    culprit = await create(client, payload={"part": "culprit"}, max_attempts=1)
    other = await create(client, payload={"part": "other"})
    ended = await until_ended(database, culprit.task_id)
    assert ended["status"] == "failed"
    assert message in ended["error"]
    assert (await until_ended(database, other.task_id))["status"] == "completed"
    assert worker.running_tasks == 0
    after = [await create(client, payload={"part": "after"}) for _ in range(4)]
    assert {(await until_ended(database, task.task_id))["status"] for task in after} == {"completed"}


async def test_a_handler_that_ends_with_an_interrupt_is_retried(
    client: AsyncClient, database: asyncpg.Connection, start_worker: StartWorker
) -> None:
    async def work(job: Job) -> dict[str, Any]:
        if job.task.attempt == 1:
            raise KeyboardInterrupt
        return {}

    await start_worker(work)
    task = await create(client)
    row = await until_ended(database, task.task_id)
    assert (row["status"], row["attempt"]) == ("completed", 2)
