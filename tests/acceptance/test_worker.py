"""Workers as real processes that are killed, stopped or cut off from the database: each task is done exactly once."""

import asyncio
import signal

import asyncpg

from embedded.stack import Ready
from tests.support.callback_receiver import Receiver, count_of, enqueue_deliveries, until_status
from tests.support.processes import LONG_LEASE, ServiceProcess, worker_process
from tests.support.proxy import Proxy, RandomLosses

STARTED = "worker started"


async def test_fifty_tasks_complete_although_workers_are_killed(
    stack: Ready, database: asyncpg.Connection, receiver: Receiver
) -> None:
    receiver.gate = gate = asyncio.Semaphore(0)
    await enqueue_deliveries(database, receiver.url, 50)
    workers = [worker_process(stack, CONCURRENCY="2") for _ in range(2)]
    await asyncio.gather(*(worker.start(STARTED) for worker in workers))
    for kill in range(10):
        await receiver.more()
        gate.release()  # one response per kill, so that tasks are left after the tenth kill
        await workers[kill % 2].stop(signal.SIGKILL)
        workers[kill % 2] = worker_process(stack, CONCURRENCY="2")
        await workers[kill % 2].start(STARTED)
    for _ in range(1000):
        gate.release()
    await until_status(database, "completed", 50)
    assert [await worker.stop() for worker in workers] == [0, 0]
    rows = await database.fetch("select task_id, attempt, result from public.tasks")
    assert len(rows) == 50
    assert sum(row["attempt"] for row in rows) > 50, "the kills used no attempt"
    for row in rows:
        # A callback is delivered at least once and at most once per attempt; the task is completed once.
        assert 1 <= receiver.arrived[f"msg_{row['task_id']}"] <= row["attempt"]


async def test_sigterm_releases_unfinished_tasks_and_their_attempt(
    stack: Ready, database: asyncpg.Connection, receiver: Receiver
) -> None:
    receiver.delay = 20.0
    await enqueue_deliveries(database, receiver.url, 6)
    worker = worker_process(stack, CONCURRENCY="4", GRACE_PERIOD="0.2", **LONG_LEASE)
    await worker.start(STARTED)
    await until_status(database, "running", 4)
    assert await worker.stop() == 0
    assert await count_of(database, "running") == 0
    assert await count_of(database, "pending") == 6
    assert await database.fetchval("select max(attempt) from public.queue") == 0
    assert worker.clients_made == 1


async def test_sigterm_lets_tasks_finish_within_the_grace_period(
    stack: Ready, database: asyncpg.Connection, receiver: Receiver
) -> None:
    receiver.delay = 0.5
    await enqueue_deliveries(database, receiver.url, 4)
    worker = worker_process(stack, CONCURRENCY="4", GRACE_PERIOD="30", **LONG_LEASE)
    await worker.start(STARTED)
    await until_status(database, "running", 4)
    assert await worker.stop() == 0
    assert await count_of(database, "completed") == 4


async def test_a_second_signal_ends_the_worker_immediately(
    stack: Ready, database: asyncpg.Connection, receiver: Receiver
) -> None:
    receiver.delay = 30.0
    await enqueue_deliveries(database, receiver.url, 1)
    worker = worker_process(stack, GRACE_PERIOD="600", **LONG_LEASE)
    await worker.start(STARTED)
    await until_status(database, "running", 1)
    first = asyncio.create_task(worker.stop())
    await worker.logged("stopping")
    assert await worker.stop() == 0
    await first
    await worker.logged("stopped at once")


async def test_randomly_dropped_responses_change_nothing(
    stack: Ready, database: asyncpg.Connection, receiver: Receiver
) -> None:
    tasks = 800
    await enqueue_deliveries(database, receiver.url, tasks)
    proxy = Proxy(stack.url)
    proxy.after = losses = RandomLosses(share=0.25, seed=7)
    await proxy.start()
    worker = worker_process(stack, proxy.url, CONCURRENCY="50", SUPABASE_RETRIES="1", **LONG_LEASE)
    await worker.start(STARTED)
    await until_status(database, "completed", tasks)
    assert await worker.stop() == 0
    await proxy.stop()
    assert losses.count > 0
    assert await database.fetchval("select count(*) from public.tasks where attempt <> 1") == 0
    assert set(receiver.delivered.values()) == {1}
    assert len(receiver.delivered) == tasks


async def test_worker_without_a_database_waits_for_it(stack: Ready) -> None:
    worker = ServiceProcess("worker", "http://127.0.0.1:9", stack.secret_key, SUPABASE_RETRIES="0", GRACE_PERIOD="0.1")
    await worker.start(STARTED)
    await worker.logged("sync call not answered")
    assert await worker.stop() == 0
