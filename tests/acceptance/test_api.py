"""The API and a worker as two processes on the emulator: requests, callbacks, and an outage of the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from app.days import yesterday
from app.server import SHUTDOWN_TIMEOUT
from embedded.sample.server import serve_sample
from embedded.stack import Ready, Stack, StackOptions
from tests.support.callback_receiver import Receiver, count_of, enqueue_deliveries, until_status
from tests.support.processes import API_KEY, LONG_LEASE, api_process, start_api, worker_process

PROFILE = {"name": "Ada", "interests": ["graph neural networks"]}
MIGRATIONS = Path(__file__).parents[2] / "supabase" / "migrations"


def caller(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=address, headers={"X-API-Key": API_KEY}, trust_env=False, timeout=30)


async def until_final(http: httpx.AsyncClient, location: str) -> dict[str, Any]:
    """Poll as a caller would."""
    while True:
        answer = await http.get(location, params={"include": "result"})
        task: dict[str, Any] = answer.json()
        if "retry-after" not in answer.headers:
            return task
        await asyncio.sleep(0.1)


async def test_posted_digest_completes_and_its_callback_is_retried(
    stack: Ready, database: asyncpg.Connection, receiver: Receiver
) -> None:
    receiver.failures = 1
    api = api_process(stack)
    async with serve_sample(yesterday()) as hosts, caller(await start_api(api)) as http:
        feeds = ",".join(f"{feed.name}={feed.url}" for feed in hosts.feeds)
        worker = worker_process(stack, ARXIV_BASE_URL=hosts.arxiv_base_url, FEEDS=feeds, **LONG_LEASE)
        await worker.start("worker started")
        body = {"profile": PROFILE, "callback_url": receiver.url, "max_papers": 3}
        headers = {"Idempotency-Key": "once", "X-Request-ID": "from-the-caller"}
        posted = await http.post("/v1/digests", json=body, headers=headers)
        again = await http.post("/v1/digests", json=body, headers=headers)
        other = await http.post("/v1/digests", json=body | {"max_papers": 4}, headers=headers)
        task = await until_final(http, posted.headers["location"])
        page = await http.get(posted.headers["location"] + "/html")
        while not receiver.delivered:
            await asyncio.sleep(0.05)
        edition = await http.get(f"/v1/editions/{yesterday()}")
        assert await worker.stop() == 0
    assert (posted.status_code, posted.headers["x-request-id"]) == (202, "from-the-caller")
    assert again.json()["task_id"] == posted.json()["task_id"]
    assert (other.status_code, other.json()["title"]) == (422, "Idempotency key reused")
    assert task["status"] == "completed"
    assert 1 <= len(task["digest"]["papers"]) <= 3
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert edition.json()["status"] == "completed"
    ((name, deliveries),) = receiver.arrived.items()
    assert deliveries == 2
    event: Any = receiver.bodies[name]
    assert (event["type"], event["data"]["task_id"]) == ("task.completed", task["task_id"])
    stored = await database.fetchval("select payload ->> 'request_id' from public.tasks where kind = 'digest'")
    assert stored == "from-the-caller"
    assert await api.stop() == 0
    assert (api.clients_made, worker.clients_made) == (1, 1)
    assert min(api.objects_kept, worker.objects_kept) > 1_000


@asynccontextmanager
async def own_stack(folder: Path) -> AsyncIterator[tuple[Stack, Ready]]:
    """An emulator whose parts this test stops."""
    stack = Stack(StackOptions(folder / "faults", port=0, migrations=MIGRATIONS, durable=False))
    try:
        yield stack, await stack.start()
    finally:
        await stack.stop()


async def until_ready(http: httpx.AsyncClient, status: int) -> dict[str, Any]:
    while (answer := await http.get("/readyz")).status_code != status:
        await asyncio.sleep(0.1)
    body: dict[str, Any] = answer.json()
    return body


async def until_all_leases_ran_out(ready: Ready) -> None:
    """Wait until no worker can have renewed its lease: only the gateway is stopped."""
    database = await asyncpg.connect(ready.database_url)
    young = "select count(*) from public.workers where seen_at > now() - lease - interval '1.5 s'"
    while await database.fetchval(young):
        await asyncio.sleep(0.1)
    await database.close()


async def test_the_api_survives_gateway_and_database_restarts(stack_folder: Path, receiver: Receiver) -> None:
    receiver.delay = 0.05
    async with own_stack(stack_folder) as (stack, ready):
        database = await asyncpg.connect(ready.database_url)
        await enqueue_deliveries(database, receiver.url, 400)
        await database.close()
        api, worker = api_process(ready), worker_process(ready, CONCURRENCY="8")
        async with caller(await start_api(api)) as http:
            await worker.start("worker started")
            await until_ready(http, 200)
            await stack.stop_gateway()
            down = await until_ready(http, 503)
            await until_all_leases_ran_out(ready)
            await stack.start_gateway()
            await until_ready(http, 200)
            await stack.server.restart()
            await until_ready(http, 200)
            database = await asyncpg.connect(ready.database_url)
            await until_status(database, "completed", 400)
            assert await count_of(database, "failed") == 0
            await database.close()
            assert (await worker.stop(), await api.stop()) == (0, 0)
    assert down["title"] == "Supabase unavailable"
    assert len(receiver.delivered) == 400


async def test_cancelling_over_http(stack: Ready, database: asyncpg.Connection) -> None:
    api = api_process(stack)
    async with caller(await start_api(api)) as http:
        posted = await http.post("/v1/fetches", json={"source_date": "2026-01-02"})
        location = posted.headers["location"]
        cancelled = await http.post(location + "/cancel")
        page = await http.get(location.replace("fetches", "digests"))
        listed = await http.get(
            "/v1/tasks", params={"status": "cancelled", "kind": "fetch", "source_date": "2026-01-02"}
        )
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert page.status_code == 404
    assert [task["task_id"] for task in listed.json()["tasks"]] == [posted.json()["task_id"]]
    assert await count_of(database, "cancelled") == 1
    assert await api.stop() == 0


async def test_metrics_show_the_queue_and_the_requests(stack: Ready, database: asyncpg.Connection) -> None:
    await enqueue_deliveries(database, "http://127.0.0.1:9/", 3)
    api = api_process(stack)
    async with caller(await start_api(api)) as http:
        await http.get("/v1/tasks")
        text = (await http.get("/metrics")).text
    assert 'broadsheet_queue_depth{kind="callback",status="pending"} 3.0' in text
    assert 'broadsheet_http_request_duration_seconds_count{method="GET",route="/v1/tasks",status="200"} 1.0' in text
    assert 'broadsheet_supabase_calls_total{outcome="200"}' in text
    assert "broadsheet_event_loop_lag_seconds_count" in text
    assert await api.stop() == 0
    assert not any(API_KEY in line or stack.secret_key in line for line in api.text)


async def test_waiting_requests_complete_after_a_gateway_outage(stack_folder: Path) -> None:
    async with own_stack(stack_folder) as (stack, ready):
        api = api_process(ready)
        async with caller(await start_api(api)) as http:
            locations = [
                (await http.post("/v1/fetches", json={"source_date": "2026-01-02"})).headers["location"]
                for _ in range(20)
            ]
            waiters = [asyncio.create_task(http.get(at, headers={"Prefer": "wait=60"})) for at in locations]
            streams = [asyncio.create_task(http.get(f"{at}/events")) for at in locations]
            while "broadsheet_open_streams 40.0" not in (await http.get("/metrics")).text:
                await asyncio.sleep(0.05)
            await stack.stop_gateway()
            await api.logged("watched tasks not read")
            database = await asyncpg.connect(ready.database_url)
            await database.execute("select public.cancel_task(task_id, null) from public.tasks")
            await database.close()
            assert not any(task.done() for task in [*waiters, *streams])
            await stack.start_gateway()
            assert {(await waiter).json()["status"] for waiter in waiters} == {"cancelled"}
            assert {(await stream).text.count("event: end") for stream in streams} == {1}
        assert await api.stop() == 0


async def test_sigterm_ends_waiting_requests_immediately(stack: Ready, database: asyncpg.Connection) -> None:  # noqa: ARG001  (database_reset)
    api = api_process(stack)
    async with caller(await start_api(api)) as http:
        location = (await http.post("/v1/fetches", json={"source_date": "2026-01-02"})).headers["location"]
        waiter = asyncio.create_task(http.get(location, headers={"Prefer": "wait=60"}))
        async with http.stream("GET", f"{location}/events") as events:
            lines = events.aiter_lines()
            while not (await anext(lines)).startswith("data: "):
                pass
            async with asyncio.timeout(SHUTDOWN_TIMEOUT - 5):
                assert await api.stop() == 0
            assert [line async for line in lines if line] == []
        answer = await waiter
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")
