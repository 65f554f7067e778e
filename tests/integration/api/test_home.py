"""A reader's home page by its signed link, over HTTP and on a real database: its content and its permissions."""

import html
import re
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.config import ApiSettings
from app.mail.item_links import ITEM_ACTIONS, item_name
from app.models.articles import ArticleKind
from app.models.digests import DigestItem
from app.pages.rendering import SECURITY_HEADERS
from app.persistence.reader_papers import ReaderPapers
from app.persistence.readers import ReaderStatus
from app.ranking.reader_paper import paper_of
from embedded.stack import Ready
from tests.support.digest_items import item_of
from tests.support.imports import fill_papers
from tests.support.running_api import KEY, RunningApi
from tests.support.visitors import (
    A_READER,
    HOSTILE,
    TODAY,
    Visitor,
    assert_only_text,
    digest_of,
    give_digest,
    settings_with_links,
    visitor_of,
)

YESTERDAY = TODAY - timedelta(days=1)
PAPERS = tuple(item_of(ArticleKind.PAPER, number, None, 0.9) for number in range(3))
NEWS = (item_of(ArticleKind.NEWS, 7, None, 0.5),)
FIRST = item_name(PAPERS[0].article)
SHOWN = ("", "/days", "/search?q=paper", "/saved", f"/{TODAY}")


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_links(stack)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient, database: asyncpg.Connection) -> AsyncIterator[Visitor]:
    """A reader with the digests of two days."""
    async with visitor_of(api, client) as visitor:
        await give_digest(database, visitor.reader.reader_id, digest_of(YESTERDAY, item(8), news=NEWS))
        await give_digest(database, visitor.reader.reader_id, digest_of(TODAY, *PAPERS))
        yield visitor


def item(number: int, text: str | None = None) -> DigestItem:
    return item_of(ArticleKind.PAPER, number, text, 0.9)


async def stored_feedback(database: asyncpg.Connection) -> list[tuple[str, bool | None, bool]]:
    """All feedback on papers."""
    rows = await database.fetch(
        "select title, liked, saved_at is not null as saved from public.reader_papers order by title"
    )
    return [(row["title"], row["liked"], row["saved"]) for row in rows]


def pressed(page: httpx.Response, name: str) -> list[str]:
    """The pressed buttons of an item."""
    form = re.search(rf'<form class="actions" id="{name}".*?</form>', page.text, re.DOTALL)
    assert form is not None
    return re.findall(r'aria-pressed="true">([^<]+)<', form[0])


async def press(visitor: Visitor, saying: str, name: str = FIRST, day: date = TODAY) -> httpx.Response:
    return await visitor.http.post(f"{visitor.path('home')}/{day}", data={"item": name, "do": saying})


async def test_get_requests_change_nothing_and_links_work(visitor: Visitor, database: asyncpg.Connection) -> None:
    place = visitor.path("home")
    before = await database.fetch("select * from public.readers")
    paths = [place + where for where in SHOWN] + [visitor.path(f"{act}:{FIRST}") for act in ITEM_ACTIONS]
    for path in paths * 2:
        page = await visitor.http.get(path)
        assert page.status_code == 200, path
        links = {html.unescape(link) for link in re.findall(r'href="(/r/[^"#]+)', page.text)}
        purposes = {link.split("/")[2] for link in links}
        assert {"home", "preferences", "schedule", "pause", "unsubscribe"} <= purposes
        assert {link: (await visitor.http.get(link)).status_code for link in links} == dict.fromkeys(links, 200)
    assert await stored_feedback(database) == []
    assert await database.fetch("select * from public.readers") == before
    newest, earlier = (await visitor.http.get(place)).text, (await visitor.http.get(f"{place}/{YESTERDAY}")).text
    assert ("Title of paper 2" in newest, "Title of paper 8" in newest) == (True, False)
    assert ("Title of paper 2" in earlier, "Title of news 7" in earlier) == (False, True)
    found = (await visitor.http.get(f"{place}/search", params={"q": "news"})).text
    assert re.findall(r'href="[^"]+/(\S+)#(\S+)">(.*?)<', found) == [(str(YESTERDAY), "news-0", "Title of news 7")]
    assert 'id="news-0"' in earlier


async def test_feedback_counts_once_is_shown_and_can_be_undone(visitor: Visitor, database: asyncpg.Connection) -> None:
    steps: tuple[tuple[str, list[str], list[tuple[str, bool | None, bool]]], ...] = (
        ("more", ["More like this"], [("Title of paper 0", True, False)]),
        ("less", ["Not for me"], [("Title of paper 0", False, False)]),
        ("save", ["Not for me", "Save"], [("Title of paper 0", False, True)]),
        ("unrate", ["Save"], [("Title of paper 0", None, True)]),
        ("unsave", [], []),
    )
    for saying, down, kept in steps:
        for _ in range(2):
            answer = await press(visitor, saying)
            assert (answer.status_code, answer.headers["location"]) == (
                303,
                f"{visitor.path('home')}/{TODAY}#{FIRST}",
            )
            assert answer.headers["referrer-policy"] == "no-referrer"
            page = await visitor.http.get(answer.headers["location"])
            assert pressed(page, FIRST) == down
            assert ("Press again to undo" in page.text) is bool(down)
            assert await stored_feedback(database) == kept


@pytest.mark.parametrize(("act", "kept"), [("more", (True, False)), ("less", (False, False)), ("save", (None, True))])
async def test_a_mails_feedback_link_records_and_undoes_it(
    visitor: Visitor, database: asyncpg.Connection, act: str, kept: tuple[bool | None, bool]
) -> None:
    path = visitor.path(f"{act}:{FIRST}")
    looked = await visitor.http.get(path)
    assert re.findall(r"<button[^>]*>([^<]+)<", looked.text) == [ITEM_ACTIONS[act]]
    assert "Title of paper 0" in looked.text
    for _ in range(2):
        done = await visitor.http.post(path, data={"do": act})
        assert re.findall(r"<button[^>]*>([^<]+)<", done.text) == ["Undo"]
        assert await stored_feedback(database) == [("Title of paper 0", *kept)]
    for _ in range(2):
        assert "Undone" in (await visitor.http.post(path, data={"do": "undo"})).text
        assert await stored_feedback(database) == []


async def test_saved_papers_are_listed_and_can_be_removed(visitor: Visitor, database: asyncpg.Connection) -> None:
    papers = ReaderPapers(visitor.readers._client)  # noqa: SLF001  (the same client)
    for number in range(60):
        await papers.save(visitor.reader.reader_id, paper_of(item(number).article), saved=True)
    place = visitor.path("home")
    first = (await visitor.http.get(f"{place}/saved")).text
    assert re.findall(r"Title of paper (\d+)</a>", first) == [str(n) for n in range(59, 9, -1)]
    (onward,) = re.findall(r'href="([^"]+cursor=[^"]+)"', first)
    second = (await visitor.http.get(html.unescape(onward))).text
    assert re.findall(r"Title of paper (\d+)</a>", second) == [str(n) for n in range(9, -1, -1)]
    (library,) = re.findall(r'href="([^"]+)">as BibTeX', first)
    assert (await visitor.http.get(library)).text.count("Title of paper") == 60
    paper_id = re.findall(r'name="paper" value="([^"]+)"', first)[0]
    for _ in range(2):
        answer = await visitor.http.post(f"{place}/saved", data={"paper": paper_id})
        assert (answer.status_code, answer.headers["location"]) == (303, f"{place}/saved")
    assert await database.fetchval("select count(*) from public.reader_papers") == 59
    assert "Title of paper 59" not in (await visitor.http.get(f"{place}/saved")).text


async def test_earlier_days_are_listed_by_month_and_in_pages(visitor: Visitor, database: asyncpg.Connection) -> None:
    days = [date(2026, 3, 1) - timedelta(days=number) for number in range(70)]
    for day in days:
        await give_digest(database, visitor.reader.reader_id, digest_of(day))
    place, path, listed = visitor.path("home"), "/days", list[str]()
    while path:
        page = (await visitor.http.get(place + path)).text
        assert re.findall(r'class="section">(\w+ \d+)<', page)
        listed += re.findall(r'href="[^"]+/(\d{4}-\d\d-\d\d)"', page)
        path = next(iter(re.findall(r'href="[^"]+(/days\?before=[^"]+)"', page)), "")
    assert listed == [str(day) for day in (TODAY, YESTERDAY, *days)]
    assert "There are no digests before this day" in (await visitor.http.get(f"{place}/days?before={days[-1]}")).text


def refused(visitor: Visitor, other: Visitor) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Requests that a reader must not make: method, path and form."""
    place, form = visitor.path("home"), {"item": FIRST, "do": "more"}
    for token in ("x", visitor.path("preferences").rpartition("/")[2], place.rpartition("/")[2][:-1] + "_"):
        for where in SHOWN:
            yield "GET", f"/r/home/{token}{where}", {}
        yield "POST", f"/r/home/{token}/{TODAY}", form
        yield "POST", f"/r/home/{token}/saved", {"paper": str(uuid4())}
        for act in ITEM_ACTIONS:
            yield "POST", f"/r/{act}:{FIRST}/{token}", {"do": act}
    # Another reader's token opens only that reader's pages, and this item is not there.
    yield "POST", f"{other.path('home')}/{TODAY}", form
    yield "POST", other.path(f"more:{FIRST}"), form
    # A link for one item or one button is not valid for another.
    for purpose, signed_for in (("more:" + FIRST, "more:" + "0" * 16), ("save:" + FIRST, "home")):
        yield "POST", visitor.path(purpose, signed_for=signed_for), form
    yield "POST", visitor.path("more:" + "0" * 16), form
    for wrong in ({"do": "more"}, {"item": FIRST}, form | {"do": "everything"}, form | {"item": HOSTILE}, {}):
        yield "POST", f"{place}/{TODAY}", wrong
    for where in ("/2020-01-01", "/tomorrow", f"/{HOSTILE.replace('/', '')}", "/days?before=x", "/saved?cursor=x"):
        yield "GET", place + where, {}
    yield "POST", f"{place}/saved", {"paper": "x"}
    for wrong_link in ({"day": TODAY - timedelta(days=401)}, {"day": None}, {"generation": 2}):
        stale = Visitor(visitor.http, visitor.readers, visitor.reader, **wrong_link)
        yield "GET", stale.path("home"), {}
        yield "POST", f"{stale.path('home')}/{TODAY}", form
        yield "POST", stale.path(f"more:{FIRST}"), form


async def test_links_and_items_of_others_are_refused(visitor: Visitor, database: asyncpg.Connection) -> None:
    stranger = await visitor.readers.create("ada", A_READER | {"reader_id": str(uuid4()), "name": "Bob"})
    await give_digest(database, stranger.reader_id, digest_of(TODAY, item(99)))
    other = Visitor(visitor.http, visitor.readers, stranger)
    saved = await ReaderPapers(visitor.readers._client).save(  # noqa: SLF001  (the same client)
        stranger.reader_id, paper_of(item(99).article), saved=True
    )
    pages = set[str]()
    for method, path, form in refused(visitor, other):
        answer = await visitor.http.request(
            method, path, content=urlencode(form), headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code == 404, (method, path, form)
        pages.add(answer.text)
    (page,) = pages
    assert "This link does not work" in page
    # A paper of another reader cannot be removed.
    await visitor.http.post(f"{visitor.path('home')}/saved", data={"paper": str(saved)})
    assert await stored_feedback(database) == [("Title of paper 99", None, True)]


async def test_a_bookmark_ends_with_its_generation_or_reader(visitor: Visitor) -> None:
    visitor.day = TODAY - timedelta(days=400)
    page = await visitor.http.get(visitor.path("home"))
    for link in set(re.findall(r'href="(/r/[^"#]+)', page.text)):
        assert (await visitor.http.get(html.unescape(link))).status_code == 200, link
    of_theirs = f"/v1/readers/{visitor.reader.reader_id}/revoke-links"
    revoked = await visitor.http.post(of_theirs, headers={"X-API-Key": KEY})
    assert revoked.status_code == 204
    assert (await visitor.http.get(visitor.path("home"))).status_code == 404
    visitor.generation = 2
    assert (await visitor.http.get(visitor.path("home"))).status_code == 200
    await visitor.readers.remove(visitor.reader.reader_id)
    assert (await visitor.http.get(visitor.path("home"))).status_code == 404
    assert (await press(visitor, "more")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": ReaderStatus.PAUSED}, "Mails are paused"),
        ({"status": ReaderStatus.UNSUBSCRIBED}, "You are unsubscribed"),
        ({"status": ReaderStatus.BOUNCED}, "returned earlier mails"),
        ({}, None),
    ],
    ids=["paused", "unsubscribed", "bounced", "active"],
)
async def test_the_home_page_explains_missing_digests(
    visitor: Visitor, database: asyncpg.Connection, changes: dict[str, Any], message: str | None
) -> None:
    await visitor.readers.change(visitor.reader.reader_id, {"name": "Ada"} | changes)
    page = (await visitor.http.get(visitor.path("home"))).text
    assert "Title of paper 0" in page
    assert re.findall(r'<p class="notice">', page) == ([] if message is None else ['<p class="notice">'])
    assert message is None or message in page
    assert (await press(visitor, "more")).status_code == 303
    await database.execute("delete from public.digests where true")
    empty = (await visitor.http.get(visitor.path("home"))).text
    assert "Your first digest is not written yet" in empty
    assert "07:00 (Europe/Berlin)" in empty or changes
    for where, nothing in (("/days", "no digests yet"), ("/search?q=paper", "No item contains all of these words")):
        assert nothing in (await visitor.http.get(visitor.path("home") + where)).text


async def test_article_text_is_escaped_on_every_home_page(visitor: Visitor, database: asyncpg.Connection) -> None:
    reader_id, day = visitor.reader.reader_id, TODAY + timedelta(days=1)
    hostile = item(1, HOSTILE)
    bad = hostile.article.model_copy(
        update={"url": "javascript:alert(1)", "pdf_url": 'https://x.example/"><script>', "source": f"feed:{HOSTILE}"}
    )
    hostile = hostile.model_copy(update={"article": bad, "key_points": (HOSTILE,)})
    digest = digest_of(day, hostile, introduction=HOSTILE, source_errors={HOSTILE: HOSTILE}, news=(hostile,))
    await give_digest(database, reader_id, digest)
    visitor.day = day
    name = item_name(bad)
    assert (await press(visitor, "save", name, day)).status_code == 303
    place = visitor.path("home")
    paths = [place + where for where in ("", f"/{day}", "/days", "/saved", f"/search?{urlencode({'q': HOSTILE})}")]
    paths += [f"{place}/search?q=alert", *(visitor.path(f"{act}:{name}") for act in ITEM_ACTIONS)]
    for path in paths:
        page = await visitor.http.get(path)
        assert page.status_code == 200
        assert_only_text(page)
        assert "alert(&#39;x&#39;)" in page.text, path
        assert {header: page.headers[header] for header in SECURITY_HEADERS} == SECURITY_HEADERS


async def test_the_limit_of_saved_papers_is_reported(visitor: Visitor, database: asyncpg.Connection) -> None:
    await fill_papers(database, visitor.reader.reader_id)
    for answer in (await press(visitor, "more"), await visitor.http.post(visitor.path(f"save:{FIRST}"))):
        assert answer.status_code == 409
        assert "Paper limit reached" in answer.text
