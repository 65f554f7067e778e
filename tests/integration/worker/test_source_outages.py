"""An outage of all sources: nothing fails, no attempt is used, and no reader gets a wrong statement."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from socket import socket
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiohttp import web
from supabase import AsyncClient

import worker.wiring
from app.days import yesterday
from app.models.tasks import TaskKind
from app.sources.rate_limiter import RateLimiter
from embedded.stack import Ready
from tests.integration.worker.whole_worker import MAIL, NEWS, PAPERS, PROFILE, settings_of, whole_worker
from tests.support.reader_mails import body, mail_of
from tests.support.running_worker import PATIENCE, until
from tests.support.schedule import add_reader
from tests.support.tasks import create

NOW_AGAIN = (
    "update public.queue set run_at = now() where worker_id is null and not dead_letter and kind in ('fetch', 'digest')"
)
TRIED = "select exists (select from public.queue where kind = 'fetch' and error ~ $1)"
CAUSE = r"arxiv: 127\.0\.0\.1 could not be read: .* at \d\d:\d\d UTC, will be retried in "
SENT = "select exists (select from public.deliveries where status = 'sent')"


class Sources:
    """arXiv and a feed on one port, which is closed until they are `up`."""

    def __init__(self) -> None:
        with socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    @property
    def settings(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.port}"
        return {"arxiv_base_url": address, "arxiv_categories": "cs.AI", "feeds": f"one={address}/rss"}

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        async def papers(_request: web.Request) -> web.Response:
            return web.Response(text=PAPERS, content_type="application/atom+xml")

        async def news(_request: web.Request) -> web.Response:
            return web.Response(text=NEWS, content_type="application/rss+xml")

        application = web.Application()
        application.add_routes([web.get("/api/query", papers), web.get("/rss", news)])
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield
        finally:
            await runner.cleanup()


@pytest.fixture(autouse=True)
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arXiv adapter tries a page once, on one path, and at once: this test does not cover its pauses."""
    settings_for = worker.wiring._arxiv_settings  # noqa: SLF001  (the one place that knows)
    monkeypatch.setattr(
        worker.wiring,
        "_arxiv_settings",
        lambda s: replace(settings_for(s), page_attempts=1, listing_url=None, oai_url=None),
    )
    monkeypatch.setattr(worker.wiring, "RateLimiter", lambda _seconds=0, **named: RateLimiter(0.02, **named))


async def reader_due_now(client: AsyncClient, database: asyncpg.Connection, **columns: Any) -> UUID:
    """A reader in a time zone where it is about noon, whose digest has been due since midnight."""
    timezone = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
    reader = await add_reader(client, email="ada@example.org", timezone=timezone, send_at="00:00", **columns)
    await database.execute("update public.readers set next_due_at = next_due_at - interval '1 day' where true")
    return reader.reader_id


async def tried_again(database: asyncpg.Connection, error: str) -> None:
    """Make snoozed tasks due now, until a fetch has failed with this error."""
    async with asyncio.timeout(PATIENCE):
        while not await database.fetchval(TRIED, error):
            await database.execute(NOW_AGAIN)
            await asyncio.sleep(0.1)


async def all_ended(database: asyncpg.Connection) -> None:
    async with asyncio.timeout(2 * PATIENCE):
        while await database.fetchval("select exists (select from public.queue where not dead_letter)"):
            await database.execute("update public.circuit_breakers set retry_at = now() where state = 'open'")
            await database.execute(NOW_AGAIN)
            await asyncio.sleep(0.1)


def mails_in(folder: Path) -> Iterator[EmailMessage]:
    for file in folder.iterdir():
        yield mail_of(file.read_bytes())


def both_bodies(mail: EmailMessage) -> str:
    """What a reader sees, decoded: in the mail's bytes, a line break can be in the middle of a word."""
    return body(mail, "plain") + body(mail, "html")


async def test_an_outage_of_all_sources_fails_nothing(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, tmp_path: Path
) -> None:
    sources, day = Sources(), yesterday()
    payload = {"profile": PROFILE}
    for _ in range(5):
        await create(client, kind=TaskKind.DIGEST, source_date=day, payload=payload)
    await create(client, source_date=day, payload={"shared": True})
    await reader_due_now(client, database, when_empty="notify")
    settings = settings_of(stack, mail_url=f"folder:{tmp_path}", **sources.settings, **MAIL)
    async with whole_worker(settings) as running:
        await tried_again(database, f"{CAUSE}15 s")
        # Its circuit breaker is open: the cause stays, and the time comes from the circuit breaker.
        await tried_again(database, rf"{CAUSE}[2-6]\d s")
        assert await database.fetchval("select count(*) from public.tasks where status is not null") == 0
        assert await database.fetchval("select count(*) from public.deliveries") == 0, "unread is not empty"
        async with sources.up():
            await all_ended(database)
            await running.stop()
    ends = await database.fetch("select kind, status, attempt, count(*) as n from public.tasks group by 1, 2, 3")
    assert {(row["kind"], row["status"], row["attempt"]) for row in ends} == {
        (kind, "completed", 1) for kind in ("fetch", "digest", "delivery")
    }
    (mail,) = mails_in(tmp_path)
    assert mail["Subject"].startswith("Ice")
    assert not [word for word in ("Nothing new", "retried", "127.0.0.1") if word in both_bodies(mail)]


async def test_a_digest_without_sources_waits_no_longer_than_set(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, tmp_path: Path
) -> None:
    await reader_due_now(client, database, when_empty="notify")
    settings = settings_of(stack, mail_url=f"folder:{tmp_path}", **Sources().settings, **MAIL)
    waiting = "select exists (select from public.queue where kind = 'digest' and snoozed_since is not null)"
    async with whole_worker(settings) as running:
        await until(database, waiting)
        await tried_again(database, CAUSE)
        await database.execute(
            "update public.queue set started_at = now() - interval '5 hours 59 minutes' where kind = 'digest'"
        )
        await database.execute(NOW_AGAIN)
        await until(database, waiting)
        assert await database.fetchval("select count(*) from public.deliveries") == 0
        await database.execute("update public.queue set started_at = now() - interval '6 hours' where kind = 'digest'")
        async with asyncio.timeout(PATIENCE):
            while not await database.fetchval(SENT):
                await database.execute(NOW_AGAIN)
                await asyncio.sleep(0.1)
        await running.stop()
    (mail,) = mails_in(tmp_path)
    text = both_bodies(mail)
    assert mail["Subject"].endswith(": no source could be read")
    assert "No source could be read in time" in text
    assert "Nothing new" not in text
    assert not [word for word in ("retried", "127.0.0.1", "breaker") if word in text]


@pytest.mark.parametrize(
    ("status", "reason"),
    [("failed", "no source could be read"), ("partial", "there was nothing new in the sources that could be read"),
     ("completed", "there was nothing new")],
)  # fmt: skip
async def test_a_skipped_digest_names_the_sources_not_read(
    status: str, reason: str, client: AsyncClient, database: asyncpg.Connection
) -> None:
    await reader_due_now(client, database, when_empty="skip")
    await database.execute("select public.enqueue_due(10)")
    task = await database.fetchval("select task_id from public.tasks where kind = 'digest'")
    await database.execute(
        "insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest)"
        " select task_id, owner, source_date, reader_id, local_day,"
        ' \'{"papers": [], "news": [], "keys": []}\'::jsonb || jsonb_build_object(\'edition_status\', $2::text)'
        " from public.tasks where task_id = $1",
        task,
        status,
    )
    delivery = await database.fetchrow("select status, reason from public.deliveries")
    assert tuple(delivery) == ("skipped", reason)
