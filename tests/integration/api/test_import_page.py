"""The page on which a reader imports a library, without scripts: the form, its errors, the progress and the report."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.config import ApiSettings
from app.models.tasks import TaskKind
from app.persistence.outcomes import Completed, Failed
from app.persistence.queue import Progress
from embedded.stack import Ready
from tests.support.imports import uploaded
from tests.support.running_api import RunningApi
from tests.support.tasks import Claimer
from tests.support.visitors import HOSTILE, Visitor, assert_only_text, settings_with_links, visitor_of

FILE = ("library.bib", b"@misc{a, title={Of storms}}")
LEFT = "select (select count(*) from public.uploads) + (select count(*) from public.upload_pieces)"
REPORT = {"entries": 1_234, "accepted": 1_200, "already_there": 32, "rejected": 2}


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_links(stack)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        yield visitor


async def show(visitor: Visitor) -> str:
    page = await visitor.http.get(f"{visitor.path('home')}/import")
    assert page.status_code == 200
    assert_only_text(httpx.Response(200, text=page.text.replace("<script defer src=", "")))
    return page.text


async def send(visitor: Visitor, **sent: Any) -> httpx.Response:
    return await visitor.http.post(f"{visitor.path('home')}/import", **sent)


async def test_a_form_with_a_file_becomes_an_import(visitor: Visitor, database: asyncpg.Connection) -> None:
    answer = await send(visitor, files={"file": FILE}, data={"feedback": "saved"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{visitor.path('home')}/import")
    task = await database.fetchrow(
        "select owner, kind, reader_id, payload ->> 'feedback' as feedback from public.tasks"
    )
    assert tuple(task) == ("default", "import", visitor.reader.reader_id, "saved")
    stored = await database.fetchval("select string_agg(content, '' order by number) from public.upload_pieces")
    assert stored == FILE[1]
    text = await show(visitor)
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in text
    assert "Your file has arrived" in text
    assert 'type="file"' not in text, "one import at a time"


INVALID: dict[str, tuple[dict[str, Any], int, str]] = {
    "no file": ({"files": {"feedback": (None, "liked")}}, 422, "Choose a file"),
    "empty": ({"files": {"file": ("a.bib", b"")}}, 422, "Choose a file"),
    "no form": ({"content": b"@misc{a}", "headers": {"Content-Type": "application/x-bibtex"}}, 400, "did not arrive"),
    "not multipart": ({"data": {"file": "a"}}, 400, "did not arrive"),
    "cut": (
        {
            "content": b'--x\r\ncontent-disposition: form-data; name="file"\r\n\r\n@misc{a, title={T}}',
            "headers": {"Content-Type": "multipart/form-data; boundary=x"},
        },
        400,
        "did not arrive",
    ),
    "many parts": ({"files": [("file", FILE)] * 11}, 400, "did not arrive"),
    "a large field": ({"files": {"file": FILE}, "data": {"feedback": "x" * 10_001}}, 400, "did not arrive"),
}


@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_form_is_explained_on_the_page(
    name: str, visitor: Visitor, database: asyncpg.Connection
) -> None:
    sent, status, text = INVALID[name]
    answer = await send(visitor, **sent)
    assert (answer.status_code, text in answer.text) == (status, True), answer.text
    assert 'type="file"' in answer.text
    assert await database.fetchval(LEFT) == 0


async def test_a_form_that_is_too_large_is_explained_on_the_page(
    visitor: Visitor, api: RunningApi, database: asyncpg.Connection
) -> None:
    head = (
        f"POST {visitor.path('home')}/import HTTP/1.1\r\nHost: api\r\nContent-Length: 50020001\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nConnection: close\r\n\r\n"
    )
    async with api.connected() as raw:
        await raw.send(head.encode())
        answer = await raw.rest()
    assert b"413 " in answer.splitlines()[0]
    assert b"The file has more than 50 MB." in answer
    assert await database.fetchval(LEFT) == 0


async def test_a_second_file_waits_for_the_first(visitor: Visitor, client: AsyncClient) -> None:
    await uploaded(client, visitor.reader.reader_id, b"a")
    answer = await send(visitor, files={"file": FILE})
    assert (answer.status_code, "Another file is being imported" in answer.text) == (409, True)
    cancelled = await visitor.http.post(f"{visitor.path('home')}/import/cancel")
    assert cancelled.status_code == 303
    assert "The import was cancelled" in await show(visitor)
    assert (await send(visitor, files={"file": FILE})).status_code == 303


async def test_the_page_shows_progress_and_then_the_report(visitor: Visitor, client: AsyncClient) -> None:
    await uploaded(client, visitor.reader.reader_id, b"a")
    worker = Claimer(client, kinds=[TaskKind.IMPORT])
    task = await worker.claim_one()
    await worker.sync(progress={task.lease: Progress(f"600 {HOSTILE}", 0.5)})
    running = await show(visitor)
    assert 'value="0.50"' in running
    assert "600 &lt;script&gt;" in running
    rejections = [{"line": 7, "key": HOSTILE, "reason": HOSTILE}, {"line": 9, "key": "", "reason": "no title"}]
    await worker.finish(task, Completed(REPORT | {"rejections": rejections, "unread": "The file has more."}))
    text = await show(visitor)
    assert "1,234 entries read: 1,200 new papers, 32 already there, 2 rejected." in text
    assert "The file has more." in text
    assert "<td>9</td>" in text
    assert "refresh" not in text


@pytest.mark.parametrize(
    ("error", "shown"),
    [("The file is no library.", "The file is no library."), ("host db.internal", "try again later")],
)
async def test_a_failed_import_shows_only_what_is_about_the_file(
    error: str, shown: str, visitor: Visitor, client: AsyncClient
) -> None:
    await uploaded(client, visitor.reader.reader_id, b"a")
    worker = Claimer(client, kinds=[TaskKind.IMPORT])
    await worker.finish(await worker.claim_one(), Failed(error, None))
    text = await show(visitor)
    assert shown in text
    assert "db.internal" not in text


async def test_the_stream_shows_a_reader_only_the_progress(visitor: Visitor, client: AsyncClient) -> None:
    path = f"{visitor.path('home')}/import/events"
    assert (await visitor.http.get(path)).status_code == 404
    await uploaded(client, visitor.reader.reader_id, b"a")
    worker = Claimer(client, kinds=[TaskKind.IMPORT])
    await worker.finish(await worker.claim_one(), Failed("host db.internal", None))
    text = (await visitor.http.get(path)).text
    assert "event: end" in text
    assert '"status": "failed"' in text
    assert "db.internal" not in text
    assert "default" not in text


async def test_another_purposes_link_imports_nothing(visitor: Visitor, database: asyncpg.Connection) -> None:
    path = visitor.path("home", signed_for="feed")
    answer = await visitor.http.post(f"{path}/import", files={"file": FILE})
    assert answer.status_code == 404
    assert await database.fetchval("select count(*) from public.tasks") == 0
