"""What calls cost whose plans were made for a few rows: thousands come after a quiet hour, `analyze` a minute later."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import asyncpg

from embedded.stack import Ready
from tests.contract.helpers import insert_tasks
from tests.contract.test_query_plans import CALL, WORKER, buffers, explained
from tests.emptied import emptied

OUTCOMES: dict[str, dict[str, Any]] = {
    "failed for now": {"outcome": "failed", "error": "e", "delay_seconds": 0},
    "failed for good": {"outcome": "failed", "error": "e", "permanent": True},
    "snoozed": {"outcome": "snoozed", "error": "e", "delay_seconds": 0},
    "cancelled": {"outcome": "cancelled"},
    "completed": {"result": {}},
}
PROGRESS = {"message": "half of it", "progress": 0.5}
TOGETHER = 50
A_TASK = 100
"""Buffers: some ten pages of tables and indexes, found anew by each step of a call; a whole index is hundreds."""


async def test_plans_made_for_a_few_rows_do_for_many(stack: Ready) -> None:
    database, numbers = await asyncpg.connect(stack.database_url), itertools.count(1)
    try:
        await emptied(database)
        await insert_tasks(database, 2, status="completed")
        await database.execute("vacuum analyze public.tasks, public.queue")
        await insert_tasks(database, 10)
        for _ in range(2):
            await costs_of_ends(database, numbers, 1)
        await insert_tasks(database, 5_000, status="completed")
        await insert_tasks(database, 5_000)
        costs = await costs_of_ends(database, numbers, TOGETHER)
    finally:
        await database.close()
    assert {what: cost for what, cost in costs.items() if cost > TOGETHER * A_TASK} == {}


async def costs_of_ends(database: asyncpg.Connection, numbers: Iterator[int], count: int) -> dict[str, int]:
    """Buffers of what is done with so many tasks: claimed, reported on, ended in every way, and replayed."""
    costs = {}
    for name, outcome in OUTCOMES.items():
        costs["claimed"] = await cost_of_sync(database, next(numbers), slots=count)
        held = await database.fetch("select task_id, lease_token from public.queue where worker_id is not null")
        ends = json.dumps([{key: str(value) for key, value in row.items()} | outcome | PROGRESS for row in held])
        costs["reported"] = await cost_of_sync(database, next(numbers), "[]", "[]", ends)
        lists = (ends, "[]") if name == "completed" else ("[]", ends)
        costs[name] = await cost_of_sync(database, next(numbers), *lists)
        costs[f"{name}, twice"] = await cost_of_sync(database, next(numbers), *lists)
    dead = "array(select task_id from public.queue where dead)"
    costs["replayed"] = buffers(await explained(database, CALL.format(function=f"reopen_tasks({dead})")))
    return costs


async def cost_of_sync(database: asyncpg.Connection, number: int, *lists: str, slots: int = 0) -> int:
    """Buffers of a worker's call with these lists: what is completed, has other outcomes, and how far tasks are."""
    sent = ", ".join(f"'{each}'" for each in (*lists, "[]", "[]", "[]")[:3])
    call = f"sync_worker({WORKER}, {number}, 30, array['fetch'], array[{slots}], {slots}, {sent})"
    return buffers(await explained(database, CALL.format(function=call)))
