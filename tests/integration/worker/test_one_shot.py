"""One run of the worker: it does what is due before the next run, waits for sources, and says how it ended."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from pydantic import SecretStr
from supabase import AsyncClient

import worker.one_shot
from app.days import yesterday
from app.errors import ConfigurationError
from app.persistence.readers import Readers
from app.persistence.schedule import Schedule
from app.services import Services
from embedded.sample.server import serve_sample
from embedded.stack import Ready
from tests.support.fake_zotero import KEY, USER, FakeZotero
from tests.support.one_run import SECOND, SENDER, one_run, run_settings
from tests.support.proxy import Answer, Call, Proxy
from tests.support.reader_mails import body, mail_of, mails
from tests.support.schedule import add_reader
from tests.support.smtp_server import Postbox, say
from tests.support.tasks import insert_tasks

EXAMPLE = Path(__file__).parents[3] / "readers.example.toml"
PROFILE = {"interests": ["graph neural networks", "secret hobby"], "exclude": ["blockchain"]}
STATUSES = "select status from public.deliveries order by created_at"


def in_hours(hours: float) -> str:
    """A time of day in UTC that comes in so many hours."""
    return f"{datetime.now(UTC) + timedelta(hours=hours):%H:%M}"


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def add(client: AsyncClient, hours: float = 20, **columns: object) -> None:
    values = {"timezone": "UTC", "send_at": in_hours(hours), "profile": PROFILE, "email": "ada@example.org"}
    await add_reader(client, **(values | columns))


async def test_a_run_reads_libraries_before_its_digests(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, box: Postbox
) -> None:
    reader, fake = await add_reader(client), FakeZotero()
    fake.fill(range(3))
    async with serve_sample(yesterday()) as hosts, fake.serve() as zotero:
        await Services.build(client).libraries.connect(reader.reader_id, USER, [], SecretStr(KEY))
        await add(client)
        mail = {"mail_url": f"smtp://127.0.0.1:{box.port}", "mail_from": SENDER, "zotero_base_url": zotero.url}
        summary, _ = await one_run(run_settings(stack, arxiv_base_url=hosts.arxiv_base_url, **mail))
    assert (summary.status, len(mails(box))) == (0, 1)
    assert await database.fetchval("select count(*) from public.reader_papers where synced") == 3
    read = "select max(p.created_at) < min(d.created_at) from public.reader_papers p cross join public.digests d"
    assert await database.fetchval(read)


async def test_reading_libraries_uses_no_wait_for_sources(
    stack: Ready, client: AsyncClient, box: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, fake, read_before = await add_reader(client), FakeZotero(), list[int]()
    fake.fill(range(3))

    class Waits(worker.one_shot.RunWaits):
        def begin(self) -> None:
            read_before.append(len(fake.requests))
            super().begin()

    monkeypatch.setattr(worker.one_shot, "RunWaits", Waits)
    async with serve_sample(yesterday()) as hosts, fake.serve() as zotero:
        await Services.build(client).libraries.connect(reader.reader_id, USER, [], SecretStr(KEY))
        await add(client)
        mail = {"mail_url": f"smtp://127.0.0.1:{box.port}", "mail_from": SENDER, "zotero_base_url": zotero.url}
        await one_run(run_settings(stack, arxiv_base_url=hosts.arxiv_base_url, **mail))
    assert read_before[-1:] == [2], "the wait begins when the library has been read"


@pytest.mark.parametrize("path", ["items/top", "items"])
async def test_a_signal_ends_a_run_that_reads_libraries(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, path: str
) -> None:
    reader, fake = await add_reader(client), FakeZotero()
    fake.fill(range(3))

    release = asyncio.Event()

    def stop(request: web.Request) -> None:
        if request.path.endswith(f"/{path}"):
            fake.hold = release.wait()
            os.kill(os.getpid(), signal.SIGTERM)

    async with fake.serve() as zotero:
        await Services.build(client).libraries.connect(reader.reader_id, USER, [], SecretStr(KEY))
        await add(client)
        fake.before = stop
        summary, log = await one_run(run_settings(stack, zotero_base_url=zotero.url))
        release.set()
    assert (summary.status, list(summary.lines())[-1]) == (1, "Interrupted: the rest is done by the next run.")
    postponed = {each["job"]: each["error"] for each in log if each["event"] == "job postponed to the next run"}
    assert postponed["library syncs"] == "the run is stopped"
    assert await database.fetchval("select count(*) from public.queue") == 0


@pytest.mark.parametrize("function", ["readers_to_erase", "apply_retention"])
async def test_a_signal_while_old_rows_are_removed_keeps_the_summary(
    stack: Ready, client: AsyncClient, proxy: Proxy, box: Postbox, function: str
) -> None:
    await add(client)
    release = asyncio.Event()

    async def stop(call: Call) -> None:
        if call.name == function:
            os.kill(os.getpid(), signal.SIGTERM)
            await release.wait()

    proxy.before = stop
    async with serve_sample(yesterday()) as hosts:
        mail = {"mail_url": f"smtp://127.0.0.1:{box.port}", "mail_from": SENDER}
        settings = run_settings(stack, supabase_url=proxy.url, arxiv_base_url=hosts.arxiv_base_url, **mail)
        summary, log = await one_run(settings)
        release.set()
    postponed = {each["job"]: each["error"] for each in log if each["event"] == "job postponed to the next run"}
    assert postponed["retention"] == "the run is stopped"
    assert ("erasures" in postponed) == (function == "readers_to_erase")
    assert (summary.status, summary.sent, summary.interrupted) == (0, 1, False)


async def test_a_run_mails_who_is_due_before_the_next_one(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, box: Postbox
) -> None:
    await add(client)
    await add(client, hours=23, email="late@example.org")
    async with serve_sample(yesterday()) as hosts:
        mail = {"mail_url": f"smtp://127.0.0.1:{box.port}", "mail_from": SENDER}
        settings = run_settings(stack, arxiv_base_url=hosts.arxiv_base_url, **mail)
        first, _ = await one_run(settings, ahead=timedelta(hours=22))
        second, _ = await one_run(settings, ahead=timedelta(hours=22))
    (sent,) = mails(box)
    assert (first.status, second.status) == (0, 0)
    assert sent["To"] == "Ada <ada@example.org>"
    assert str(sent["Subject"]).startswith("[Sample] ")
    assert sent["List-Unsubscribe"] == "<mailto:digest@example.org?subject=Unsubscribe>"
    assert "List-Unsubscribe-Post" not in sent
    for kind in ("plain", "html"):
        text = body(sent, kind)
        assert "mailto:digest@example.org?subject=Unsubscribe" in text
        assert "More like this" not in text
        assert "/r/" not in text
    assert list(second.lines())[-1] == "No mail was sent: nothing is new."
    assert await database.fetchval("select count(*) from public.queue") == 0


async def test_the_summary_fits_one_screen_and_names_nobody(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, box: Postbox
) -> None:
    for number in range(30):
        await add(client, email=f"reader{number}@example.org", name="Ada Lovelace")
    box.steps["RCPT"] = say("550 5.1.1 <reader@example.org>: no such user")
    await database.execute("select 1")
    async with serve_sample(yesterday()) as hosts:
        mail = {"mail_url": f"smtp://127.0.0.1:{box.port}", "mail_from": SENDER, "mail_rate": "1000"}
        summary, _ = await one_run(run_settings(stack, arxiv_base_url=hosts.arxiv_base_url, **mail))
    lines = list(summary.lines())
    text = "\n".join(lines)
    assert summary.status == 1
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 110
    assert "30 x mail failed" in text
    assert "550 5.1.1 <address>: no such user" in text
    for private in ("example.org", "Ada", "secret hobby", "blockchain", "graph neural"):
        assert private not in text


async def test_without_a_source_nothing_is_sent_and_nothing_lost(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, tmp_path: Path
) -> None:
    await add(client)
    mail = {"mail_url": f"folder:{tmp_path}", "mail_from": SENDER}
    failed, _ = await one_run(run_settings(stack, **mail), wait=SECOND)
    lines = "\n".join(failed.lines())
    assert failed.status == 1
    assert files_in(tmp_path) == []
    assert "source not read: " in lines
    assert f"digest postponed: no source could be read for {yesterday()}" in lines
    assert await database.fetchval(STATUSES) is None
    await database.execute("update public.queue set run_at = now() where true")
    async with serve_sample(yesterday()) as hosts:
        settings = run_settings(stack, arxiv_base_url=hosts.arxiv_base_url, **mail)
        done, _ = await one_run(settings)
    assert done.status == 0, "\n".join(done.lines())
    assert len(files_in(tmp_path)) == 1


async def test_after_the_wait_the_available_sources_are_used(stack: Ready, client: AsyncClient, tmp_path: Path) -> None:
    await add(client, profile={"interests": ["superconducting qubits"]})
    async with serve_sample(yesterday()) as hosts:
        (feed, *_) = hosts.feeds
        mail = {"mail_url": f"folder:{tmp_path}", "mail_from": SENDER}
        summary, _ = await one_run(run_settings(stack, feeds=f"{feed.name}={feed.url}", **mail), wait=3 * SECOND)
    assert summary.status == 0, "\n".join(summary.lines())
    (file,) = files_in(tmp_path)
    assert "INCOMPLETE: " in body(mail_of(file.read_bytes()), "plain")
    assert (summary.status, list(summary.lines())[-1]) == (0, "Done.")


async def test_a_run_waits_for_the_tasks_of_a_killed_one(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, tmp_path: Path
) -> None:
    await add(client)
    await Schedule(client).enqueue_due(timedelta(days=1))
    await database.execute(
        "insert into public.workers (worker_id, seen_at, lease, reported_at)"
        " values (gen_random_uuid(), now() - interval '2 seconds', interval '3 seconds', now())"
    )
    await database.execute(
        "update public.queue set worker_id = (select worker_id from public.workers), lease_token = gen_random_uuid(),"
        " attempt = 1, started_at = now() where true"
    )
    async with serve_sample(yesterday()) as hosts:
        mail = {"mail_url": f"folder:{tmp_path}", "mail_from": SENDER}
        summary, _ = await one_run(run_settings(stack, arxiv_base_url=hosts.arxiv_base_url, **mail))
    assert summary.status == 0
    assert len(files_in(tmp_path)) == 1


async def test_a_run_applies_a_readers_file_first(stack: Ready, client: AsyncClient, tmp_path: Path) -> None:
    mailbox = tmp_path / "mailbox"
    async with serve_sample(yesterday()) as hosts:
        mail = {"mail_url": f"folder:{mailbox}", "mail_from": SENDER, "arxiv_base_url": hosts.arxiv_base_url}
        settings = run_settings(stack, **mail)
        first, _ = await one_run(settings, readers=EXAMPLE, owner="ada")
        second, _ = await one_run(settings, readers=EXAMPLE, owner="ada")
    assert (first.status, second.status) == (0, 0)
    assert next(first.lines()) == "file     3 created, 0 changed, 0 unchanged, 0 refused"
    assert next(second.lines()) == "file     0 created, 0 changed, 3 unchanged, 0 refused"
    assert {reader.external_id for reader in await Readers(client).page("ada")} == {"ada", "carl", "emmy"}
    assert "Ada Lovelace <ada@example.org>" in {mail_of(file.read_bytes())["To"] for file in files_in(mailbox)}


async def test_an_invalid_readers_file_stops_a_run_before_it_begins(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, tmp_path: Path
) -> None:
    await add(client)
    file = tmp_path / "readers.toml"
    file.write_text('[[reader]]\nkey = "ada"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 1: name is missing"):
        await one_run(run_settings(stack), readers=file)
    assert await database.fetchval("select count(*) from public.tasks") == 0


async def test_tasks_of_later_keep_no_run_from_ending(stack: Ready, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 1, kind="callback")
    await insert_tasks(database, 1, kind="digest")
    await database.execute("update public.queue set run_at = now() + interval '1 hour' where true")
    summary, _ = await one_run(run_settings(stack))
    assert (summary.status, list(summary.lines())[-1]) == (0, "No mail was sent: there are no active readers.")


async def test_a_signal_interrupts_a_run_and_loses_nothing(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, tmp_path: Path
) -> None:
    await add(client)
    mail = {"mail_url": f"folder:{tmp_path}", "mail_from": SENDER}
    running = asyncio.create_task(one_run(run_settings(stack, **mail)))
    waiting = "select exists (select from public.queue where kind = 'digest' and snoozed_since is not null)"
    while not await database.fetchval(waiting):
        assert not running.done()
        await asyncio.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)
    summary, _ = await running
    assert (summary.status, list(summary.lines())[-1]) == (1, "Interrupted: the rest is done by the next run.")
    assert await database.fetchval("select count(*) from public.queue where kind = 'digest'") == 1


async def test_a_run_ends_when_supabase_responds_no_more(
    stack: Ready, client: AsyncClient, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(client)
    monkeypatch.setattr(worker.one_shot, "OUTAGE_LIMIT", 0.5)

    async def away(call: Call) -> Answer | None:
        return Answer(503, "<p>away</p>") if call.name == "sync_worker" else None

    proxy.before = away
    summary, _ = await one_run(run_settings(stack, supabase_url=proxy.url))
    last = list(summary.lines())[-1]
    assert (summary.status, last) == (
        1,
        "Interrupted: Supabase did not respond for 0.5 s. The rest is done by the next run.",
    )
