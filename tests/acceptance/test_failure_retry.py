"""A group of failures is retried with one press while two worker processes run: each task is done once."""

import asyncio
import os
from uuid import UUID

import asyncpg
import httpx

from embedded.stack import Ready
from tests.support.callback_receiver import Receiver, enqueue_deliveries
from tests.support.operators import KEYS, Operator
from tests.support.processes import LONG_LEASE, api_process, start_api, worker_process

TASKS = int(os.environ.get("FAILURES", "300"))
"""One of three causes has six tenths of them. FAILURES=10000 takes half a minute."""

FAILED = """
with numbered as (select task_id, row_number() over (order by task_id) as n from public.queue),
     failed as (
         update public.queue q
            set dead_letter = true, attempt = max_attempts, updated_at = now(),
                error = case when n % 10 < 6 then 'HTTP 503 after ' || n || ' s' when n % 10 < 9 then 'timed out'
                             else 'no route to ' || n end
           from numbered where q.task_id = numbered.task_id
        returning q.task_id, q.error)
update public.tasks t set status = 'failed', finished_at = now(), attempt = max_attempts, error = failed.error
  from failed where t.task_id = failed.task_id"""
LEFT = "select cause, count(*) from public.queue where dead_letter group by cause order by cause"
DONE = "select array_agg(task_id) from public.tasks where status = 'completed'"


async def test_a_group_is_retried_once_while_two_workers_run(
    stack: Ready,
    database: asyncpg.Connection,
    receiver: Receiver,
) -> None:
    await enqueue_deliveries(database, receiver.url, TASKS)
    await database.execute(FAILED)
    workers = [worker_process(stack, CONCURRENCY="20", **LONG_LEASE) for _ in range(2)]
    api = api_process(stack, API_KEYS=KEYS, ADMINS="root")
    address = await start_api(api)
    await asyncio.gather(*(worker.start("worker started") for worker in workers))
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http:
        operator, number = Operator(http), f"{TASKS * 6 // 10}"
        await operator.sign_in()
        group = {"kind": "callback", "cause": "HTTP <number> after <number> s"}
        answer = await operator.press("/ops", "/ops/failures/retry", **group, number=number)
        assert f"{int(number):,} tasks were replayed" in (await http.get(answer.headers["location"])).text
    async with asyncio.timeout(120):
        while receiver.delivered.total() < int(number) or await open_tasks(database):
            await asyncio.sleep(0.05)
    assert [await process.stop() for process in (*workers, api)] == [0, 0, 0]
    done = await database.fetchval(DONE)
    assert receiver.delivered == {f"msg_{task_id}": 1 for task_id in done}
    assert len(done) == int(number)
    left = [tuple(row) for row in await database.fetch(LEFT)]
    assert left == [("no route to <number>", TASKS // 10), ("timed out", TASKS * 3 // 10)]


async def open_tasks(database: asyncpg.Connection) -> list[UUID]:
    rows = await database.fetch("select task_id from public.queue where not dead_letter")
    return [row["task_id"] for row in rows]
