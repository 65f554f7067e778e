"""Feeds built to block a worker: its /healthz always responds within a second, and the day is fetched."""

import asyncio
import json
import time
from collections.abc import Mapping
from uuid import uuid4

import asyncpg
import httpx
from aiohttp import web

from app.client.factory import open_supabase
from app.models.tasks import TaskKind
from app.persistence.tasks import TaskStateManager
from embedded.stack import Ready
from tests.support.callback_receiver import until_status
from tests.support.processes import LONG_LEASE, worker_process
from tests.support.scripted_server import ScriptedServer
from tests.support.source_responses import page as arxiv_page
from tests.support.stack_process import settings_for
from tests.support.tasks import DAY

AT = "@" * 40_000
ARXIV = "arXiv:2513.00001v1 Announce Type: new Abstract: x"


def rss(*children: str) -> str:
    return f"<rss><channel><item><title>An item</title>{''.join(children)}</item></channel></rss>"


FEEDS: Mapping[str, str] = {
    "author": rss(f"<author>{AT}</author>"),
    "nobody": rss(f"<author>{AT} x x(</author>"),
    "creator": rss(f'<c:creator xmlns:c="http://purl.org/dc/elements/1.1/">{AT}</c:creator>'),
    "guid": rss(f"<guid>{AT}</guid>", f"<link>{AT}</link>", f"<description>{AT}</description>"),
    "commas": rss(f"<guid>2513.00001</guid><description>{ARXIV}</description>", f"<author>{'a,' * 2_200_000}</author>"),
    "model": "<!DOCTYPE x [<!ELEMENT a (" + "b," * 2_000_000 + "b)>]><rss><channel/></rss>",
}

LONGEST_RESPONSE = 5.0
"""Seconds without a response: a naive reader of these feeds would block for minutes."""


async def serve(feeds: Mapping[str, str]) -> tuple[web.AppRunner, str]:
    async def feed(request: web.Request) -> web.Response:
        return web.Response(text=feeds[request.match_info["name"]], content_type="application/xml")

    application = web.Application()
    application.add_routes([web.get("/{name}", feed)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def slowest_answer(url: str, until: asyncio.Event) -> tuple[float, int]:
    """Poll until the event; returns the longest response time and the number of responses."""
    slowest, answers = 0.0, 0
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        while not until.is_set():
            began = time.monotonic()
            assert (await http.get(url)).status_code == 200
            slowest, answers = max(slowest, time.monotonic() - began), answers + 1
            await asyncio.sleep(0.02)
    return slowest, answers


async def test_a_worker_responds_while_it_reads_feeds_of_at_signs(stack: Ready, database: asyncpg.Connection) -> None:
    runner, url = await serve(FEEDS)
    arxiv = ScriptedServer(arxiv_page(0, 1, 1))
    await arxiv.start()
    feeds = ",".join(f"{name}={url}/{name}" for name in FEEDS)
    worker = worker_process(stack, ARXIV_BASE_URL=arxiv.url, FEEDS=feeds, WORKER_PORT="0", **LONG_LEASE)
    address = (await worker.start("health and metrics on"))["event"].split()[-1]
    done = asyncio.Event()
    asking = asyncio.create_task(slowest_answer(f"{address}/healthz", done))
    async with open_supabase(settings_for(stack)) as client:
        await TaskStateManager(client).create_task_with_source_date(
            task_id=uuid4(), kind=TaskKind.FETCH, payload={}, source_date=DAY
        )
    await until_status(database, "completed", 1)
    done.set()
    slowest, answers = await asking
    assert slowest < LONGEST_RESPONSE
    assert answers > 1
    assert await worker.stop() == 0
    await arxiv.stop()
    await runner.cleanup()
    edition = await database.fetchrow("select status, errors from public.editions")
    assert edition["status"] == "partial"
    assert list(json.loads(edition["errors"])) == ["feed:model"]
    assert await database.fetchval("select attempt from public.tasks") == 1
