"""A feed in a browser is a page that says what it is; feed readers get the feed, whatever they accept."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from supabase import AsyncClient

from app.config import ApiSettings
from app.models.articles import ArticleKind
from app.pages.rendering import SECURITY_HEADERS
from embedded.stack import Ready
from tests.support.browser import chromium, faults, hide_error_status, needs_chromium, opened
from tests.support.digest_items import item_of
from tests.support.running_api import RunningApi
from tests.support.visitors import (
    HOSTILE,
    TODAY,
    Visitor,
    assert_only_text,
    digest_of,
    give_digest,
    settings_with_links,
    visitor_of,
)

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PUBLIC = "https://broadsheet.example"
ATOM = "application/atom+xml; charset=utf-8"


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    values = settings_with_links(stack).model_dump() | {"public_url": PUBLIC}
    return ApiSettings.model_validate(values)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient, database: asyncpg.Connection) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        papers = [item_of(ArticleKind.PAPER, n, text, 0.9) for n, text in enumerate((None, HOSTILE))]
        await give_digest(database, visitor.reader.reader_id, digest_of(TODAY, *papers))
        yield visitor


def feed_path(visitor: Visitor) -> str:
    """The feed's address has no day, so that it stays valid."""
    visitor.day = None
    path = visitor.path("feed")
    visitor.day = TODAY
    return path


@pytest.mark.parametrize("accept", [None, "*/*", "application/atom+xml", "application/xml, text/html;q=0.9"])
async def test_a_feed_reader_gets_the_feed_with_its_charset(visitor: Visitor, accept: str | None) -> None:
    if accept is None:
        del visitor.http.headers["accept"]
    headers = {} if accept is None else {"Accept": accept}
    answer = await visitor.http.get(feed_path(visitor), headers=headers)
    assert (answer.status_code, answer.headers["content-type"], answer.headers["vary"]) == (200, ATOM, "Accept")
    assert answer.content.startswith(b"<?xml")
    again = await visitor.http.get(feed_path(visitor), headers=headers | {"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.headers["vary"]) == (304, "Accept")


async def test_a_feed_in_a_browser_says_what_it_is_and_links_back(visitor: Visitor) -> None:
    path = feed_path(visitor)
    feed = await visitor.http.get(path)
    conditions = {"If-None-Match": feed.headers["etag"], "If-Modified-Since": feed.headers["last-modified"]}
    page = await visitor.http.get(path, headers=BROWSER | conditions)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert {name: page.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert (page.headers["vary"], "etag" in page.headers) == ("Accept", False)
    assert "This is a feed" in page.text
    assert f'value="{PUBLIC}{path}"' in page.text
    assert "Title of paper 0" in page.text
    assert 'href="/"' in page.text
    assert_only_text(page)
    head = await visitor.http.head(path, headers=BROWSER)
    assert (head.status_code, head.headers["content-type"]) == (200, "text/html; charset=utf-8")


async def test_the_address_of_a_feed_opens_no_other_page(visitor: Visitor) -> None:
    """A reader may give the address to a service for feeds."""
    page = await visitor.http.get(feed_path(visitor), headers=BROWSER)
    assert page.text.count("/r/") == 1, "its own address"


async def test_the_page_about_the_feed_is_a_tab_of_the_reader(visitor: Visitor) -> None:
    home = await visitor.http.get(visitor.path("home"))
    assert f'href="{visitor.path("home")}/feed">Feed</a>' in home.text
    page = await visitor.http.get(f"{visitor.path('home')}/feed")
    assert f'value="{PUBLIC}{feed_path(visitor)}"' in page.text
    assert 'aria-current="page">Feed</a>' in page.text
    assert f'href="{visitor.path("home")}"' in page.text


@pytest.mark.parametrize("purpose", ["feed", "saved"])
async def test_an_invalid_address_is_a_page_only_in_a_browser(visitor: Visitor, purpose: str) -> None:
    answers = [await visitor.http.get(f"/r/{purpose}/x", headers=each) for each in (BROWSER, {})]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert [answer.headers["content-type"] for answer in answers] == [
        "text/html; charset=utf-8",
        "text/plain; charset=utf-8",
    ]
    assert [answer.headers["vary"] for answer in answers] == ["Accept", "Accept"]


@needs_chromium
async def test_feed_pages_fit_every_screen_and_are_accessible(visitor: Visitor) -> None:
    async with chromium() as browser, opened(browser) as page:
        await page.route("**/r/feed/*", hide_error_status)
        for path in (feed_path(visitor), f"{visitor.path('home')}/feed", "/r/feed/x"):
            await page.goto(f"{visitor.http.base_url}{path}")
            assert await page.locator("h1").count() == 1
            assert await faults(page) == {}, path
