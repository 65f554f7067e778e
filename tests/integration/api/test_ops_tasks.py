"""The operator's list of failures and the page of a task, over HTTP."""

import html
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.models.tasks import Task, TaskKind
from app.persistence.outcomes import Failed, Snoozed
from embedded.stack import Ready
from tests.support.applications import application
from tests.support.operators import Operator, dead_tasks, settings_with_operators
from tests.support.stack_process import settings_for
from tests.support.tasks import SOON, Claimer, create

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SECRET_HOOK = "https://user:pass@hooks.example.org/services/8gQkDvRZ2mX4bN7cP1wY?key=zzz"
LIST = "/ops/tasks?status=failed"


@pytest.fixture
async def operator(stack: Ready, database_reset: None) -> AsyncIterator[Operator]:  # noqa: ARG001  (run first)
    async with AsyncExitStack() as opened:
        settings = settings_with_operators(stack, trace_url="https://traces.example.org/t/{trace_id}?from=ops")
        app = opened.enter_context(application(settings))
        await opened.enter_async_context(app.router.lifespan_context(app))
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", timeout=60)
        operator = Operator(await opened.enter_async_context(http))
        assert (await operator.sign_in()).status_code == 303
        yield operator


@pytest.fixture
async def client(stack: Ready) -> AsyncIterator[AsyncClient]:
    async with open_supabase(settings_for(stack)) as opened:
        yield opened


async def text_of(operator: Operator, path: str) -> str:
    """The text of a page, without tags."""
    answer = await operator.http.get(path)
    assert answer.status_code == 200, answer.text
    main = answer.text[answer.text.index("<main") :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


async def page_of(operator: Operator, task: Task) -> str:
    return await text_of(operator, f"/ops/tasks/{task.task_id}")


async def test_failures_are_found_by_their_text(operator: Operator, database: asyncpg.Connection) -> None:
    await dead_tasks(database, "digest", "HTTP 503 & more", 60)
    await dead_tasks(database, "fetch", "HTTP 410")
    page = (await operator.http.get(f"{LIST}&text=503%20%26&owner=ada")).text
    assert 'value="503 &amp;"' in page
    assert page.count('/replay"') == 50
    assert "Retry all permanently failed" not in page, "a filter does not apply to it"
    (onward,) = re.findall(r'href="(/ops/tasks\?[^"]*cursor[^"]*)"', page)
    assert (await operator.http.get(html.unescape(onward))).text.count('/replay"') == 10
    nothing = await text_of(operator, "/ops/tasks?text=nothing")
    assert "No tasks match. The text is searched in the errors of unfinished and permanently failed tasks." in nothing


async def test_a_group_leads_to_each_of_its_tasks(operator: Operator, database: asyncpg.Connection) -> None:
    await dead_tasks(database, "digest", "HTTP 503 & more", 3)
    await dead_tasks(database, "digest", "", 2)
    page = (await operator.http.get(LIST)).text
    links = [html.unescape(found) for found in re.findall(r'href="(/ops/tasks\?[^"]*cause=[^"]*)"', page)]
    counts = [(await operator.http.get(link)).text.count('/replay"') for link in links]
    assert sorted(counts) == [2, 3]


async def test_the_newest_failure_is_first(operator: Operator, database: asyncpg.Connection) -> None:
    await dead_tasks(database, "digest", "first created, last failed")
    await dead_tasks(database, "digest", "last created, first failed")
    await database.execute(
        "update public.tasks set created_at = now() - interval '1 day', finished_at = now() + interval '1 s'"
        " where error like 'first created%'"
    )
    page = await text_of(operator, LIST)
    each = page[page.index("Each task") :]
    assert each.index("first created") < each.index("last created")


async def test_a_task_shows_its_failed_attempts(operator: Operator, client: AsyncClient) -> None:
    worker, task = Claimer(client, kinds=[TaskKind.FETCH]), await create(client)
    assert "None is recorded." in await page_of(operator, task)
    await worker.finish(await worker.claim_one(), Failed("HTTP 503 from arXiv", SOON))
    await worker.finish(await worker.claim_one(), Snoozed(timedelta(hours=1), "arXiv is busy"))
    page = await page_of(operator, task)
    rows = page[page.index("Begin End Error") :]
    assert rows.index("2 snoozed") < rows.index("arXiv is busy") < rows.index("1 failed") < rows.index("HTTP 503")
    assert worker.worker_id.hex[:8] in rows
    assert len(re.findall(r"[A-Z][a-z]{2} \d\d, \d\d:\d\d:\d\d", rows)) == 4, "begin and end of both"


async def test_a_task_shows_what_it_waits_for(
    operator: Operator, client: AsyncClient, database: asyncpg.Connection
) -> None:
    fetch, digest = await create(client), await create(client, kind=TaskKind.DIGEST)
    assert "Waits for A worker: the task is ready." in await page_of(operator, digest)
    worker = Claimer(client, kinds=[TaskKind.DIGEST])
    await worker.finish(await worker.claim_one(), Snoozed(timedelta(hours=1), "waits", fetch.task_id))
    page = await page_of(operator, digest)
    assert "Waits for The end of a fetch task, or " in page
    assert f"fetch {fetch.task_id.hex[:8]} pending" in page
    assert "1 task waits for this one." in await page_of(operator, fetch)
    later = await create(client, delay=timedelta(hours=1))
    assert "Waits for Its time, " in await page_of(operator, later)
    await database.execute("select public.pause_kind(gen_random_uuid(), 'root', 'digest', 'a new model')")
    assert "Waits for The end of a pause: a new model" in await page_of(operator, digest)
    await database.execute("select public.set_delivery_pause('a look first')")
    try:
        mail = await create(client, kind=TaskKind.DELIVERY)
        assert "Waits for The end of a pause: a look first" in await page_of(operator, mail)
    finally:
        await database.execute("select public.set_delivery_pause(null)")


async def test_a_task_shows_its_payload_without_secrets(operator: Operator, client: AsyncClient) -> None:
    payload = {"profile": {"name": "Ada <b>"}, "api_key": "abc-secret", "email": "ada@example.org", "at": SECRET_HOOK}
    task = await create(client, payload=payload, callback_url=SECRET_HOOK)
    page = await page_of(operator, task)
    assert '"name": "Ada <b>"' in page
    assert '"email": "ada@example.org"' in page
    assert "https://[hidden]@hooks.example.org/services/[hidden]?[hidden]" in page
    for secret in ("abc-secret", "8gQkDvRZ2mX4bN7cP1wY", "pass@", "key=zzz"):
        assert secret not in page
    large = await create(client, payload={"text": "x" * 100_001})
    assert "The payload has more than 100,000 bytes and is not shown." in await page_of(operator, large)


async def test_a_task_shows_its_callbacks(
    operator: Operator, client: AsyncClient, database: asyncpg.Connection
) -> None:
    task = await create(client, callback_url="https://example.com/hook", max_attempts=1)
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    await worker.finish(await worker.claim_one(), Failed("broken", None))
    await operator.press("/ops", f"/ops/tasks/{task.task_id}/replay")
    await worker.finish(await worker.claim_one(), Failed("broken again", None))
    page = await page_of(operator, task)
    callbacks = await database.fetch("select task_id from public.tasks where parent = $1", task.task_id)
    assert len(callbacks) == 2
    for row in callbacks:
        assert f"callback {row['task_id'].hex[:8]} pending attempt 0 of 10" in page
    assert "Replays 1" in page


async def test_a_digest_and_its_mail_show_the_delivery(
    operator: Operator, client: AsyncClient, database: asyncpg.Connection
) -> None:
    digest = await create(client, kind=TaskKind.DIGEST)
    sql = """
        with reader as (
            insert into public.readers (owner, external_id, name, email, timezone, send_at)
            values ('ada', 'r', 'R', 'r@example.org', 'UTC', '07:00') returning reader_id),
        digest as (
            update public.tasks t set reader_id = r.reader_id, local_day = '2026-03-04' from reader r
             where t.task_id = $1)
        select public.create_delivery('ada', reader_id, 'digest', '2026-03-04', $1, null, null) from reader"""
    await database.execute(sql.replace("$1", f"'{digest.task_id}'::uuid"))
    mail = await database.fetchval("select task_id from public.deliveries where kind = 'digest'")
    page = await page_of(operator, digest)
    assert f"Status pending Mail digest, 2026-03-04 Task delivery {mail.hex[:8]}" in page
    assert "Status pending Mail digest, 2026-03-04 Begun" in await text_of(operator, f"/ops/tasks/{mail}")


@pytest.mark.parametrize("flags", ["00", "02", "fe"])
async def test_a_trace_that_was_not_recorded_has_no_link(
    flags: str, operator: Operator, client: AsyncClient, database: asyncpg.Connection
) -> None:
    task = await create(client)
    traceparent = f"00-{TRACE_ID}-00f067aa0ba902b7-{flags}"
    await database.execute("update public.tasks set traceparent = $2 where task_id = $1", task.task_id, traceparent)
    page = (await operator.http.get(f"/ops/tasks/{task.task_id}")).text
    assert "traces.example.org" not in page
    assert f"Trace {TRACE_ID} (not recorded)" in await page_of(operator, task)


async def test_a_task_links_to_its_trace(operator: Operator, client: AsyncClient, database: asyncpg.Connection) -> None:
    task, broken = await create(client), await create(client)
    for each, value in ((task, f"00-{TRACE_ID}-00f067aa0ba902b7-01"), (broken, "00-x-y")):
        await database.execute("update public.tasks set traceparent = $2 where task_id = $1", each.task_id, value)
    page = (await operator.http.get(f"/ops/tasks/{task.task_id}")).text
    assert f'<a href="https://traces.example.org/t/{TRACE_ID}?from=ops">{TRACE_ID}</a>' in page
    assert "Trace" not in await page_of(operator, broken)
