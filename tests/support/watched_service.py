"""A running service, and what an operator sees of its conditions: page, JSON, metric and rules, which must agree."""

import asyncio
import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import asyncpg
import httpx
from supabase import AsyncClient

from app.conditions.catalog import CONDITIONS
from embedded.stack import Ready
from tests.support.alert_rules import firing
from tests.support.callback_receiver import Receiver
from tests.support.operators import KEYS, ROOT_KEY, Operator
from tests.support.processes import LONG_LEASE, ServiceProcess, api_process, start_api, worker_process
from tests.support.proxy import Proxy
from tests.support.smtp_server import Postbox

PATIENCE = 90
"""Seconds after which a wait fails its test."""

KEY = {"X-API-Key": ROOT_KEY}
ACTIONS = {condition.name: condition.action.replace("`", "") for condition in CONDITIONS}
ENDED = "select count(*) from public.deliveries where status = $1"


@dataclass
class Service:
    """An API behind a proxy to its database, servers that its workers call, and an operator who is signed in."""

    stack: Ready
    client: AsyncClient
    database: asyncpg.Connection
    proxy: Proxy
    operator: Operator
    postbox: Postbox
    receiver: Receiver

    def new_worker(self, **settings: str) -> ServiceProcess:
        """A worker that has all settings. Its sources refuse connections, unless `settings` has others."""
        defaults = {
            "GRACE_PERIOD": "0.1", "DAILY_FETCH_AT": "23:59",
            "ARXIV_BASE_URL": "http://127.0.0.1:9", "FEEDS": "none=http://127.0.0.1:9/rss",
            "MAIL_URL": f"smtp://127.0.0.1:{self.postbox.port}", "MAIL_FROM": "Broadsheet <digest@broadsheet.example>",
        }  # fmt: skip
        return worker_process(self.stack, **(defaults | settings))

    async def start_worker(self, **settings: str) -> ServiceProcess:
        """Start a worker; the test's end kills it if nothing else stops it."""
        worker = self.new_worker(**settings)
        await worker.start("worker started")
        return worker

    @asynccontextmanager
    async def worker(self, **settings: str) -> AsyncIterator[ServiceProcess]:
        """A worker that runs while the block does. At its end it reports what it did, as with each SIGTERM."""
        worker = await self.start_worker(**settings)
        yield worker
        assert await worker.stop() == 0

    async def mail(self, name: str, until: str) -> None:
        """Let a worker send a mail to a new reader, until its delivery has the status `until`."""
        reader = await self.database.fetchval(
            "insert into public.readers (owner, external_id, name, email, timezone, send_at)"
            " values ('ada', $1, $1, $1 || '@example.org', 'UTC', '07:00') returning reader_id",
            name,
        )
        before = await self.database.fetchval(ENDED, until)
        async with self.worker(**LONG_LEASE):
            await self.database.execute("select public.create_welcome($1)", reader)
            await self.until(ENDED + f" having count(*) > {before}", until)

    async def until(self, query: str, *arguments: object) -> None:
        """Wait until a query returns a value other than null, 0 and false."""
        async with asyncio.timeout(PATIENCE):
            while not await self.database.fetchval(query, *arguments):
                await asyncio.sleep(0.05)

    async def seen(self, name: str, *, holds: bool) -> str:
        """Wait until JSON, metric, rules and page all show the condition, or none does; return the metrics."""
        found: dict[str, bool] = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    found, metrics = await self._look(name, holds=holds)
                    if set(found.values()) == {holds}:
                        return metrics
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{name} is not {holds} everywhere: {found}") from None

    async def _look(self, name: str, *, holds: bool) -> tuple[dict[str, bool], str]:
        """Where the condition shows. The dearer views are not read until the first one is as expected."""
        http = self.operator.http
        report = (await http.get("/v1/admin/health", headers=KEY)).json()
        problems = {each["condition"]: each["text"] for each in report["problems"]}
        if (name in problems) is not holds:
            return {"json": not holds}, ""
        metrics = (await http.get("/metrics", headers=KEY)).text
        page = await http.get("/ops")
        shown = {
            "json": name in problems,
            "metric": f'broadsheet_condition{{condition="{name}"' in metrics and name in firing(metrics),
            "page": _on_page(name, problems.get(name, ""), page),
        }
        return shown, metrics


def _on_page(name: str, text: str, page: httpx.Response) -> bool:
    """Whether the page shows the condition. Without its database, it is an error page."""
    if name == "database_unreachable":
        return page.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    if page.status_code != HTTPStatus.OK:
        return False
    line = page.text[page.text.index('<section class="health"') :].partition("</section>")[0]
    shown = html.unescape(line)
    return ACTIONS[name] in shown and (not text or text[:20] in shown)


@asynccontextmanager
async def running_service(stack: Ready, client: AsyncClient, database: asyncpg.Connection) -> AsyncIterator[Service]:
    """Start the API and everything that is not a worker."""
    proxy, receiver = Proxy(stack.url), Receiver()
    await proxy.start()
    await receiver.start()
    fast = {"SUPABASE_CALL_TIMEOUT": "5", "SUPABASE_RETRIES": "1"}
    api = api_process(stack, proxy.url, API_KEYS=KEYS, ADMINS="root", **fast)
    address = await start_api(api)
    try:
        async with (
            Postbox().serve() as postbox,
            httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as http,
        ):
            operator = Operator(http)
            assert (await operator.sign_in()).status_code == HTTPStatus.SEE_OTHER
            yield Service(stack, client, database, proxy, operator, postbox, receiver)
        assert await api.stop() == 0
    finally:
        await receiver.stop()
        await proxy.stop()
