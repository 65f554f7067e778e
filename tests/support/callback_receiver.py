"""A receiver of callbacks, and callback tasks whose deliveries it counts."""

import asyncio
import json
from collections import Counter

import asyncpg
from aiohttp import web
from standardwebhooks import Webhook

from tests.support.processes import WEBHOOK_SECRET
from tests.support.tasks import insert_tasks


class Receiver:
    """Counts the deliveries under each webhook-id; `delay` slows each delivery.

    With a `gate`, each response needs one of its permits.
    """

    def __init__(self) -> None:
        self.delay = 0.0
        self.gate: asyncio.Semaphore | None = None
        self.failures = 0
        self.delivered: Counter[str] = Counter()
        self.arrived: Counter[str] = Counter()
        self.bodies: dict[str, object] = {}
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self._news = asyncio.Event()
        self._noticed = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application()
        application.add_routes([web.post("/hook", self._receive)])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def more(self) -> None:
        """Wait until more deliveries have begun than at the last call."""
        while self.arrived.total() <= self._noticed:
            self._news.clear()
            await self._news.wait()
        self._noticed = self.arrived.total()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.text()
        Webhook(WEBHOOK_SECRET).verify(body, dict(request.headers))
        name = request.headers["webhook-id"]
        self.arrived[name] += 1
        self.headers.append({key.lower(): value for key, value in request.headers.items()})
        self._news.set()
        if self.failures > 0:
            self.failures -= 1
            return web.Response(status=500)
        await asyncio.sleep(self.delay)
        if self.gate is not None:
            await self.gate.acquire()
        self.delivered[name] += 1
        self.bodies[name] = json.loads(body)
        return web.Response(status=204)


async def enqueue_deliveries(database: asyncpg.Connection, url: str, count: int, *, attempts: int = 100) -> None:
    """Put `count` callback tasks into the queue."""
    payload = json.dumps({"url": url, "event": {"type": "test"}})
    await insert_tasks(database, count, kind="callback", payload=payload, max_attempts=attempts)


async def until_status(database: asyncpg.Connection, status: str, count: int) -> None:
    """Wait until exactly `count` tasks have this status; polls ten times a second."""
    while await count_of(database, status) != count:
        await asyncio.sleep(0.1)


async def count_of(database: asyncpg.Connection, status: str) -> int:
    return int(await database.fetchval("select count(*) from public.task_records where status = $1", status))
