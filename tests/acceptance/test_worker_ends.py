"""Workers that cannot continue log the reason and exit with status 1, so that the platform restarts them."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import asyncpg
import pytest

from embedded.stack import Ready
from tests.support.callback_receiver import Receiver, count_of, enqueue_deliveries, until_status
from tests.support.processes import LONG_LEASE, SHORT_LEASE, ServiceProcess, worker_process
from tests.support.proxy import Answer, Call, Proxy

STARTED = "worker started"


def faulty(ready: Ready, fault: str, **settings: str) -> ServiceProcess:
    """A worker that ends soon after its fault."""
    lease = {"LEASE_SECONDS": "1.5", "SUPABASE_CALL_TIMEOUT": "0.5"}
    return ServiceProcess(
        "tests.support.injected_faults", ready.url, ready.secret_key, fault, **(SHORT_LEASE | lease | settings)
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("the claim loop stops", "LoopStopped: The claim loop has made no call for 1.5 s."),
        ("the claim loop dies", "worker failed"),
        ("a periodic job fails", "The worker's retention failed: LookupError: injected fault"),
        ("the stopper dies", "worker failed"),
    ],
)
async def test_a_failed_component_ends_the_worker_with_1(
    fault: str,
    message: str,
    stack: Ready,
    database: asyncpg.Connection,  # noqa: ARG001  (database_reset)
) -> None:
    worker = faulty(stack, fault, GRACE_PERIOD="0.1")
    await worker.start(STARTED)
    assert await worker.ended() == 1
    assert message in "".join(worker.text)


async def test_a_failed_periodic_job_lets_tasks_finish(
    stack: Ready, database: asyncpg.Connection, receiver: Receiver
) -> None:
    receiver.delay = 1.0
    await enqueue_deliveries(database, receiver.url, 2)
    worker = faulty(stack, "a periodic job fails once a delivery has begun", CALLBACK_SLOTS="2", GRACE_PERIOD="30")
    await worker.start(STARTED)
    assert await worker.ended() == 1
    assert await count_of(database, "completed") == len(receiver.delivered) >= 1
    assert await count_of(database, "running") == 0


async def test_the_watchdog_ends_a_blocked_event_loop(
    stack: Ready, database: asyncpg.Connection, receiver: Receiver
) -> None:
    await enqueue_deliveries(database, receiver.url, 1)
    worker = faulty(stack, "a handler holds the event loop")
    await worker.start(STARTED)
    assert await worker.ended() == 1
    message = "".join(worker.text)
    assert "Timeout" in message
    assert "hold_the_loop" in message, "the traceback shows the blocking function"
    # Its task is not lost.
    healthy = worker_process(stack, **LONG_LEASE)
    await healthy.start(STARTED)
    await until_status(database, "completed", 1)
    assert await healthy.stop() == 0


async def test_the_worker_ends_and_names_an_uncancellable_handler(
    stack: Ready, database: asyncpg.Connection, receiver: Receiver
) -> None:
    await enqueue_deliveries(database, receiver.url, 1)
    worker = faulty(stack, "a handler ignores its cancellation", GRACE_PERIOD="0.1", **LONG_LEASE)
    await worker.start("handler began")
    assert await worker.stop() == 1
    task_id = await database.fetchval("select task_id from public.tasks")
    assert (await worker.logged("the process ends without them"))["tasks"] == [f"callback {task_id}"]
    assert await count_of(database, "running") == 1, "only its lease's expiry ends it"


async def test_the_worker_names_an_uncancellable_periodic_job(
    stack: Ready,
    database: asyncpg.Connection,  # noqa: ARG001  (database_reset)
) -> None:
    worker = faulty(stack, "a periodic job ignores its cancellation", **LONG_LEASE)
    await worker.start("handler began")
    await worker.logged(STARTED)
    assert await worker.stop() == 1
    assert (await worker.logged("the process ends without them"))["tasks"] == ["retention"]


async def test_an_outage_longer_than_the_lease_ends_no_worker(
    stack: Ready, database: asyncpg.Connection, receiver: Receiver, proxy: Proxy
) -> None:
    down = asyncio.Event()
    calls = 0

    async def refuse(_call: Call) -> Answer | None:
        nonlocal calls
        calls += 1
        return Answer(503, "<html>down</html>") if not down.is_set() else None

    proxy.before = refuse
    # On a loaded machine the worker itself may get no CPU time for a second, which must not seem a blocked loop.
    lease = 2.5
    worker = worker_process(stack, proxy.url, WORKER_PORT="0", LEASE_SECONDS=str(lease), SUPABASE_CALL_TIMEOUT="0.8")
    address = await address_of(worker)
    record = await worker.logged("sync call not answered")
    await asyncio.sleep(3 * lease)  # this test must wait for time to pass
    assert (await health(address))[0] == 200
    down.set()
    await enqueue_deliveries(database, receiver.url, 1)
    await until_status(database, "completed", 1)
    status, body = await health(address)
    assert (status, body["status"], body["running_tasks"]) == (200, "ok", 0)
    assert record["number"] == 1
    assert await worker.stop() == 0


async def test_an_outdated_schema_is_reported_at_the_start(stack: Ready, database: asyncpg.Connection) -> None:
    async with OutdatedSchema(database):
        worker = worker_process(stack)
        with pytest.raises(AssertionError, match="Apply the migrations"):
            await worker.start(STARTED)
        assert await worker.ended() == 1


async def test_an_outdated_schema_is_reported_when_supabase_returns(
    stack: Ready, database: asyncpg.Connection, proxy: Proxy
) -> None:
    up = asyncio.Event()

    async def refuse(_call: Call) -> Answer | None:
        return None if up.is_set() else Answer(503, "<html>down</html>")

    proxy.before = refuse
    worker = worker_process(stack, proxy.url, SUPABASE_RETRIES="0", GRACE_PERIOD="0.1")
    await worker.start(STARTED)
    await worker.logged("schema not checked yet")
    async with OutdatedSchema(database):
        up.set()
        assert await worker.ended() == 1
    assert "Apply the migrations" in "".join(worker.text)


async def test_a_taken_port_is_reported_in_one_message(stack: Ready) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    worker = worker_process(stack, WORKER_PORT=str(port))
    with pytest.raises(AssertionError, match=f"WORKER_PORT is {port}: cannot listen on"):
        await worker.start(STARTED)
    assert await worker.ended() == 1
    assert "Traceback" not in "".join(worker.text)
    server.close()
    await server.wait_closed()


class OutdatedSchema:
    """While the block runs, the database reports a schema that is older than the code needs."""

    def __init__(self, database: asyncpg.Connection) -> None:
        self._database = database

    async def __aenter__(self) -> None:
        self._real = await self._database.fetchval("select pg_get_functiondef('public.schema_version'::regproc)")
        await self._database.execute(self._real.replace("select ", "select 0 * "))

    async def __aexit__(self, *_exception: object) -> None:
        await self._database.execute(self._real)


async def address_of(worker: ServiceProcess) -> str:
    """Start the worker, and find its port."""
    await worker.start(STARTED)
    return str((await worker.logged("health and metrics on"))["event"].split()[-1])


async def health(address: str) -> tuple[int, dict[str, object]]:
    async with aiohttp.ClientSession() as session, session.get(f"{address}/healthz") as answer:
        return answer.status, await answer.json()


@pytest.fixture
async def proxy(stack: Ready) -> AsyncIterator[Proxy]:
    proxy = Proxy(stack.url)
    await proxy.start()
    yield proxy
    await proxy.stop()
