"""One whole run with traces: a POST, a killed worker, a model, sources, a mail, and a callback that is retried."""

import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.days import utc_today, yesterday
from app.links import Link, Links
from app.persistence.readers import Readers
from embedded.sample.server import SampleHosts, serve_sample
from embedded.stack import Ready
from tests.support.analysis import completion
from tests.support.callback_receiver import Receiver
from tests.support.collector import Collector
from tests.support.processes import API_KEY, LONG_LEASE, ServiceProcess, api_process, start_api, worker_process
from tests.support.running_worker import until
from tests.support.schedule import add_reader
from tests.support.scripted_server import ScriptedServer
from tests.support.smtp_server import Postbox
from tests.support.spans import Seen
from tests.support.stack_process import settings_for
from tests.support.tasks import expire_lease

CALLER_TRACE = "0af7651916cd43dd8448eb211c80319c"
SENDER = "digest@mails.example"
ANALYSIS = {"summary": "Radar reads the memory of ice.", "key_points": ["Two changes.", "No drilling."]}
LINK_SECRET, FEED_TOKEN = "link-secret-0123456789", "feed-token-0123456789"
SECRETS = {
    "the address of a reader": "ada.lovelace@readers.example",
    "the name of a reader": "Ada Lovelace",
    "the sender's address": SENDER,
    "the key of a caller": API_KEY,
    "the key of the model": "model-key-0123456789",
    "the secret of links": LINK_SECRET,
    "the secret part of a callback's URL": "callback-secret-0123456789",
    "the password of the mail server": "mail-password-0123456789",
    "an interest": "graph neural networks",
    "a feed's token": FEED_TOKEN,
}
PATIENCE = 90
"""Seconds after which a wait fails the run."""
ENDS = ("digest", "delivery", "callback")
ENDED = "select exists (select from public.tasks where kind = $1 and status = 'completed')"


@dataclass
class TracedRun:
    """What is left of a run: its spans, logs and threads, and what its callback's receiver got."""

    spans: list[Seen]
    exported: bytes
    api: ServiceProcess
    worker: ServiceProcess
    callback_headers: list[dict[str, str]]
    secrets: dict[str, str]
    stored: list[str | None]


async def traced_run(stack: Ready) -> TracedRun:
    """Run it on an empty database."""
    async with AsyncExitStack() as opened:
        collector = await opened.enter_async_context(Collector().serve())
        box = await opened.enter_async_context(Postbox().serve())
        hosts = await opened.enter_async_context(serve_sample(yesterday()))
        client = await opened.enter_async_context(open_supabase(settings_for(stack)))
        database = await asyncpg.connect(stack.database_url)
        opened.push_async_callback(database.close)
        asked = asyncio.Event()

        async def hang(_writer: asyncio.StreamWriter) -> None:
            asked.set()
            await asyncio.Event().wait()

        model, receiver = ScriptedServer(hang, completion(ANALYSIS)), Receiver()
        for server in (model, receiver):
            await server.start()
            opened.push_async_callback(server.stop)
        receiver.failures = 1
        settings = collector.environment | _worker_settings(hosts, box, model)
        api = api_process(stack, LINK_SECRET=LINK_SECRET, PUBLIC_URL="https://x.example", **collector.environment)
        first, second = worker_process(stack, **settings), worker_process(stack, **settings)
        token = await _post(api, client, database, receiver)
        await first.start("worker started")
        await asked.wait()
        await collector.until(lambda spans: "POST rpc/cache_get" in {span.name for span in spans})
        await second.start("worker started")
        await until(database, "select count(*) = 2 from public.workers")
        await first.stop(signal.SIGKILL)
        await expire_lease(database, await database.fetchval("select task_id from public.tasks where kind = 'digest'"))
        for kind in ENDS:
            await _until_ended(database, kind)
        assert (await second.stop(), await api.stop(), len(box.taken)) == (0, 0, 1)
        secrets = SECRETS | {"a reader's token": token, "the key of the project": stack.secret_key}
        stored = [row["traceparent"] for row in await database.fetch("select traceparent from public.tasks order by 1")]
        return TracedRun(collector.spans, b"".join(collector.bodies), api, second, receiver.headers, secrets, stored)


async def _until_ended(database: asyncpg.Connection, kind: str) -> None:
    """Wait until the task of a kind has ended. The callback's second attempt follows some seconds after the first."""
    async with asyncio.timeout(PATIENCE):
        while not await database.fetchval(ENDED, kind):
            await asyncio.sleep(0.05)


def _worker_settings(hosts: SampleHosts, box: Postbox, model: ScriptedServer) -> dict[str, str]:
    (feed, *_) = hosts.feeds
    return LONG_LEASE | {
        "ARXIV_BASE_URL": hosts.arxiv_base_url,
        "FEEDS": f"{feed.name}={feed.url}?token={FEED_TOKEN}",
        "OPENAI_API_KEY": SECRETS["the key of the model"],
        "OPENAI_BASE_URL": f"{model.url}/v1",
        "MAIL_URL": f"smtp://127.0.0.1:{box.port}",
        "MAIL_FROM": f"Broadsheet <{SENDER}>",
        "LINK_SECRET": LINK_SECRET,
        "PUBLIC_URL": "https://x.example",
    }


async def _post(api: ServiceProcess, client: AsyncClient, database: asyncpg.Connection, receiver: Receiver) -> str:
    """Post a digest with a callback, and let it be a reader's, so that it is mailed too. Returns the reader's token."""
    reader = await add_reader(client, email=SECRETS["the address of a reader"], name=SECRETS["the name of a reader"])
    await database.execute("delete from public.queue where true")
    await database.execute("delete from public.tasks where true")  # the welcome mail
    secret = SECRETS["the secret part of a callback's URL"]
    body: dict[str, Any] = {
        "source_date": yesterday().isoformat(),
        "profile": {"name": SECRETS["the name of a reader"], "interests": [SECRETS["an interest"]]},
        "callback_url": f"{receiver.url}?token={secret}",
    }
    headers = {"X-API-Key": API_KEY, "traceparent": f"00-{CALLER_TRACE}-b7ad6b7169203331-01"}
    generation = await Readers(client).link_generation(reader.reader_id)
    token = Links([LINK_SECRET], "https://x.example").sign("home", Link(reader.reader_id, generation, utc_today()))
    async with httpx.AsyncClient(base_url=await start_api(api), trust_env=False, timeout=60) as http:
        posted = await http.post("/v1/digests", json=body, headers=headers)
        assert posted.status_code == 202, posted.text
        assert (await http.get(f"/r/home/{token}")).is_success
        assert (await http.get(f"/nowhere/{token}?email={SECRETS['the address of a reader']}")).status_code == 404
    await database.execute("update public.tasks set reader_id = $1, local_day = $2", reader.reader_id, yesterday())
    return token
