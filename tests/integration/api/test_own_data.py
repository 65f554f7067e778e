"""A reader's own data over HTTP: the request page, the download, the deletion, and what old and repeated links do."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

import app.pages.own_data
from app.config import ApiSettings
from app.models.articles import ArticleKind
from app.persistence.own_data import LinkKind, OwnData
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.persistence.readers import ReaderStatus
from embedded.stack import Ready
from tests.support.digest_items import item_of
from tests.support.feedback import rate
from tests.support.imports import fill_papers
from tests.support.mailer import SENT, Mailer
from tests.support.running_api import RunningApi
from tests.support.schema_cache import schema_is_read
from tests.support.visitors import (
    TODAY,
    Visitor,
    assert_only_text,
    digest_of,
    give_digest,
    readers_of,
    settings_with_links,
    visitor_of,
)

READERS = "select count(*) from public.readers"
LINKS = "select kind from public.deliveries order by created_at, delivery_id"
EXPIRE = "update public.deliveries set created_at = now() - interval '15 minutes'"


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_links(stack)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        yield visitor


async def link(visitor: Visitor, client: AsyncClient, kind: LinkKind = "delete_link") -> str:
    """Request a link; returns its path."""
    link_id = uuid4()
    assert await OwnData(client).request_link(link_id, visitor.reader.reader_id, kind) == "requested"
    return visitor.path(f"{kind.partition('_')[0]}:{link_id}")


def request_page(visitor: Visitor) -> str:
    return f"{visitor.path('home')}/data"


async def assert_leads_to_request(visitor: Visitor, answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["location"]) == (303, f"{request_page(visitor)}?expired=true")
    assert "This link is no longer valid" in (await visitor.http.get(answer.headers["location"])).text


@pytest.mark.parametrize("purpose", ["download", "delete"])
async def test_a_button_requests_a_link_by_mail(visitor: Visitor, database: asyncpg.Connection, purpose: str) -> None:
    answer = await visitor.http.post(request_page(visitor), data={"do": purpose})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{request_page(visitor)}?requested={purpose}")
    shown = await visitor.http.get(answer.headers["location"])
    assert f"A link to {purpose} your data is on its way to your e-mail address." in shown.text
    assert_only_text(shown)
    assert [row["kind"] for row in await database.fetch(LINKS)] == [f"{purpose}_link"]
    assert str(await database.fetchval("select delivery_id from public.deliveries")) not in shown.text


async def test_following_links_about_data_changes_nothing(
    visitor: Visitor, client: AsyncClient, database: asyncpg.Connection
) -> None:
    paths = [await link(visitor, client, "download_link"), await link(visitor, client)]
    before = await readers_of(database)
    for path in (*paths, request_page(visitor)):
        for _ in range(2):
            assert (await visitor.http.get(path)).status_code == 200
        assert (await visitor.http.head(path)).status_code == 405
    assert await readers_of(database) == before
    assert len(await database.fetch(LINKS)) == 2


async def test_requests_for_links_are_bounded(visitor: Visitor, database: asyncpg.Connection) -> None:
    answers = [await visitor.http.post(request_page(visitor), data={"do": "delete"}) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [303] * 5 + [429] * 2
    assert "you have requested five links within a day" in answers[-1].text
    assert len(await database.fetch(LINKS)) == 5


async def test_without_an_address_the_page_says_so(visitor: Visitor, database: asyncpg.Connection) -> None:
    await visitor.readers.change(visitor.reader.reader_id, {"email": None})
    answer = await visitor.http.post(request_page(visitor), data={"do": "delete"})
    assert (answer.status_code, "there is no e-mail address for you" in answer.text) == (409, True)
    assert await database.fetch(LINKS) == []


@pytest.mark.parametrize("form", [{}, {"do": "x"}, {"do": ["delete", "download"]}])
async def test_an_unknown_request_for_a_link_is_refused(
    visitor: Visitor, database: asyncpg.Connection, form: dict[str, str]
) -> None:
    assert (await visitor.http.post(request_page(visitor), data=form)).status_code == 404
    assert await database.fetch(LINKS) == []


@pytest.mark.parametrize("kind", ["download_link", "delete_link"])
async def test_an_old_link_only_leads_to_the_request(
    kind: LinkKind, visitor: Visitor, client: AsyncClient, database: asyncpg.Connection
) -> None:
    path = await link(visitor, client, kind)
    await database.execute(EXPIRE)
    before = await readers_of(database)
    below = ("", "/data.json", "/papers.bib") if kind == "download_link" else ("",)
    answers = [await visitor.http.get(path + each) for each in below]
    answers += [await visitor.http.post(path)] if kind == "delete_link" else []
    for answer in answers:
        await assert_leads_to_request(visitor, answer)
    assert await readers_of(database) == before


async def test_a_link_has_one_purpose_and_one_reader(visitor: Visitor, client: AsyncClient) -> None:
    path = await link(visitor, client, "download_link")
    link_id = re.findall(r"download:([0-9a-f-]{36})", path)[0]
    forged = [
        path.replace("/r/download:", "/r/delete:"),
        visitor.path(f"delete:{link_id}", signed_for=f"download:{link_id}"),
        visitor.path("delete:x"),
        visitor.path(f"delete:{uuid4()}", secret="t" * 32),
    ]
    for each in forged:
        assert (await visitor.http.post(each)).status_code == 404, each
    # A valid signature for a link that was never requested, or for another purpose.
    for each in (visitor.path(f"delete:{link_id}"), visitor.path(f"delete:{uuid4()}")):
        await assert_leads_to_request(visitor, await visitor.http.post(each))
    assert (await visitor.now).status is ReaderStatus.ACTIVE


async def test_revoked_links_neither_download_nor_delete(visitor: Visitor, client: AsyncClient) -> None:
    paths = [await link(visitor, client, "download_link") + "/data.json", await link(visitor, client)]
    await visitor.readers.revoke_links(visitor.reader.reader_id, 1)
    assert (await visitor.http.get(paths[0])).status_code == 404
    assert (await visitor.http.post(paths[1])).status_code == 404
    assert (await visitor.now).status is ReaderStatus.ACTIVE


async def test_everything_is_downloaded(visitor: Visitor, client: AsyncClient, database: asyncpg.Connection) -> None:
    reader_id = visitor.reader.reader_id
    await fill_papers(database, reader_id, 1200)
    await give_digest(database, reader_id, digest_of(TODAY, item_of(ArticleKind.PAPER, 1, None, 0.9)))
    path = await link(visitor, client, "download_link")
    page = await visitor.http.get(path)
    assert f'href="{path}/data.json"' in page.text
    assert_only_text(page)
    answer = await visitor.http.get(f"{path}/data.json")
    found = json.loads(answer.text)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="broadsheet.json"'
    assert answer.headers["cache-control"] == "no-store"
    (reader,) = found["reader"]
    assert (reader["email"], reader["profile"]["title"], reader["timezone"]) == (
        "ada@example.org",
        "T",
        "Europe/Berlin",
    )
    assert {section: len(rows) for section, rows in found.items()} == {
        "reader": 1,
        "papers": 1200,
        "digests": 1,
        "deliveries": 2,
        "tasks": 2,
        "shown_items": 0,
        "shown_digests": 1,
        "uploads": 0,
        "reader_libraries": 0,
        "library_entries": 0,
    }
    assert found["digests"][0]["digest"]["introduction"] == "Chosen for you."


async def test_all_papers_are_downloaded_as_bibtex(visitor: Visitor, client: AsyncClient) -> None:
    papers = ReaderPapers(client)
    for number, liked in ((1, True), (2, False)):
        title = f"On ice {number}"
        await rate(papers, visitor.reader.reader_id, PaperInput(keys=(f"title:{number}",), title=title), liked)
    answer = await visitor.http.get(f"{await link(visitor, client, 'download_link')}/papers.bib")
    assert sorted(re.findall(r"title = \{+(On ice \d)", answer.text)) == ["On ice 1", "On ice 2"]
    assert answer.headers["content-disposition"] == 'attachment; filename="papers.bib"'


async def test_a_reader_deletes_everything_and_may_repeat_it(
    visitor: Visitor, client: AsyncClient, database: asyncpg.Connection
) -> None:
    path = await link(visitor, client)
    shown = await visitor.http.get(path)
    assert '<form method="post"><p><button>Delete everything about me' in shown.text
    for _ in range(3):
        deleted = await visitor.http.post(path)
        assert (deleted.status_code, "Your data is deleted" in deleted.text) == (200, True)
        assert "Ada" not in deleted.text
    assert "Your data is deleted" in (await visitor.http.get(path)).text
    assert await database.fetchval(READERS) == 0
    assert (await visitor.get("home")).status_code == 404


async def test_deletions_at_once_all_report_success(visitor: Visitor, client: AsyncClient) -> None:
    path = await link(visitor, client)
    answers = await asyncio.gather(*(visitor.http.post(path) for _ in range(5)))
    assert {(answer.status_code, "Your data is deleted" in answer.text) for answer in answers} == {(200, True)}


async def test_a_deletion_that_takes_long_continues_later(
    visitor: Visitor, client: AsyncClient, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.pages.own_data, "ERASE_SECONDS", 0.0)
    path, mailer = await link(visitor, client), Mailer(client)
    lease = await mailer.claim()
    await mailer.begin(lease)
    answer = await visitor.http.post(path)
    assert "Your data is being deleted" in answer.text
    assert (await visitor.now).status is ReaderStatus.UNSUBSCRIBED
    await database.execute(EXPIRE)
    assert "Your data is being deleted" in (await visitor.http.post(path)).text, "a begun deletion does not expire"
    assert await mailer.end(lease, SENT)
    assert "Your data is deleted" in (await visitor.http.post(path)).text


async def test_a_deletion_waits_for_the_end_of_a_mail(
    visitor: Visitor, client: AsyncClient, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.pages.own_data, "ERASE_SECONDS", 30.0)
    path, mailer = await link(visitor, client), Mailer(client)
    lease = await mailer.claim()
    await mailer.begin(lease)
    deleting = asyncio.create_task(visitor.http.post(path))
    async with asyncio.timeout(30):
        while await OwnData(client).to_erase() != [visitor.reader.reader_id]:
            await asyncio.sleep(0.01)
    assert await database.fetchval(READERS) == 1
    assert await mailer.end(lease, SENT)
    assert "Your data is deleted" in (await deleting).text
    assert await database.fetchval(READERS) == 0


async def test_errors_about_own_data_are_pages(
    visitor: Visitor, client: AsyncClient, stack: Ready, database: asyncpg.Connection
) -> None:
    path = await link(visitor, client)
    await database.execute("alter function public.begin_erasure rename to elsewhere")
    try:
        failed = await visitor.http.post(path)
    finally:
        await database.execute("alter function public.elsewhere rename to begin_erasure")
        # The next test's requests would find no such function.
        await schema_is_read(database, f"{stack.url}/rest/v1")
    assert (failed.status_code, "Temporary error" in failed.text) == (503, True)
