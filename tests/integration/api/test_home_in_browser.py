"""A reader's home pages in a real browser: from a mail to the next digest by keyboard, and their layout."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from email.message import EmailMessage

import asyncpg
import pytest
from playwright.async_api import Page
from supabase import AsyncClient

from app.config import ApiSettings
from app.mail.item_links import item_name
from app.models.articles import ArticleKind
from app.persistence.readers import Reader, ReaderStatus
from app.services import Services
from embedded.stack import Ready
from tests.support.browser import WIDTHS, chromium, faults, focus, follow, needs_chromium, opened
from tests.support.digest_items import item_of
from tests.support.feedback import rated
from tests.support.items import copy, save
from tests.support.reader_mails import body, look, mails
from tests.support.running_api import RunningApi
from tests.support.running_worker import StartMailer, until
from tests.support.schedule import Clock, add_reader
from tests.support.smtp_server import Postbox
from tests.support.visitors import (
    HOSTILE,
    PURPOSES,
    TODAY,
    Visitor,
    digest_of,
    give_digest,
    settings_with_links,
    visitor_of,
)

# With radar as the only interest, the first of these two comes first.
FIRST_DAY = (
    ("Glaciers by radar", "Radar, radar: the ice and the crevasses of a glacier."),
    ("Whales by radar", "A radar hears the songs of whales in the ocean."),
)
SECOND_DAY = (
    ("More glaciers by radar", "Radar, radar again: how melting ice opens crevasses in spring."),
    ("More whales by radar", "Songs of whales that cross an ocean, heard by a radar at the coast."),
)
SENT = "select count(*) = $1 from public.deliveries where status = 'sent'"
# The width of the sheet, and the place of the name and of each tab on it.
LAYOUT = """() => JSON.stringify([".sheet", ".nameplate", ".reader-nav a"].map((each) =>
    [...document.querySelectorAll(each)].map((e) => e.getBoundingClientRect()).map((e) => [e.x, e.width])))"""


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    """The API has the secret that signs the links in the worker's mails."""
    return settings_with_links(stack, "0123456789abcdef")


async def press_at(page: Page, title: str, button: str) -> None:
    """Press an item's button, found from the item's title."""
    await focus(page, title)
    await follow(page, button)


async def headlines(page: Page) -> list[str]:
    return await page.locator(".headline").all_text_contents()


def links_in(mail: EmailMessage, api: RunningApi) -> dict[str, str]:
    """The first link of each name in a mail, with this API's host."""
    in_text = re.findall(r"^ *([A-Z][\w ,]+): https://digest\.example(/r/\S+)", body(mail, "plain"), re.MULTILINE)
    on_page = re.findall(r'href="https://digest\.example(/r/[^"]+)"[^>]*>([\w ]+)<', body(mail, "html"))
    found = [*in_text, *((name, path) for path, name in on_page)]
    return {name: f"http://127.0.0.1:{api.port}{path}" for name, path in reversed(found)}


@needs_chromium
async def test_from_the_mail_to_the_next_digest_by_keyboard_alone(
    client: AsyncClient,
    database: asyncpg.Connection,
    clock: Clock,
    box: Postbox,
    start_mailer: StartMailer,
    api: RunningApi,
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    profile = {"interests": ["radar"]}
    reader, other = [
        await add_reader(client, email=f"{name}@example.org", external_id=name, profile=profile)
        for name in ("ada", "bob")
    ]
    await save_papers(client, *FIRST_DAY)
    await look(client, clock, 24)
    await start_mailer()
    await until(database, SENT, 2)
    mail = next(each for each in mails(box) if "ada@" in str(each["To"]))
    links = links_in(mail, api)
    async with chromium() as browser, opened(browser) as page:
        await page.goto(links["Your page"])
        assert await headlines(page) == ["Glaciers by radar", "Whales by radar"]
        await page.goto(links["Like, dislike or save"])
        assert await page.evaluate("document.querySelector(':target').className") == "actions"
        await give_feedback(page, links, client, reader)
        await save_papers(client, *SECOND_DAY)
        await look(client, clock, 25)
        await until(database, SENT, 4)
        await page.goto(links["Your page"])
        assert await headlines(page) == ["More whales by radar", "More glaciers by radar"]
        assert "you liked" in await page.content()
        unasked = await Services.build(client).digests.list_days(other.reader_id, limit=1)
        assert unasked[0].first_title == "More glaciers by radar"
        await save_and_search(page, client, reader)
        await unsubscribe(page, client, reader)


async def save_papers(client: AsyncClient, *papers: tuple[str, str]) -> None:
    articles = [
        copy(external_id=title, url=f"https://x.example/{title.replace(' ', '-')}", title=title, abstract=abstract)
        for title, abstract in papers
    ]
    await save(client, *articles)


async def give_feedback(page: Page, links: dict[str, str], client: AsyncClient, reader: Reader) -> None:
    await press_at(page, "Whales by radar", "More like this")
    down = page.locator("[aria-pressed=true]")
    assert await page.locator("[aria-pressed=false]").count() == 2 * 3 - 1
    assert await down.all_text_contents() == ["More like this"]
    await press_at(page, "Glaciers by radar", "Not for me")
    assert {(paper.title, paper.liked) for paper in await rated(client, reader.reader_id)} == {
        ("Whales by radar", True),
        ("Glaciers by radar", False),
    }
    # The next button after the page's position is the pressed button's item's.
    await follow(page, "Not for me")
    assert [paper.title for paper in await rated(client, reader.reader_id)] == ["Whales by radar"]
    # The mail's feedback link of the first item, with the text "Not for me".
    await page.goto(links["Not for me"])
    await follow(page, "Not for me")
    assert await page.locator("h1").text_content() == "Feedback recorded"
    await follow(page, "Undo")
    assert [paper.title for paper in await rated(client, reader.reader_id)] == ["Whales by radar"]


async def save_and_search(page: Page, client: AsyncClient, reader: Reader) -> None:
    await press_at(page, "More glaciers by radar", "Save")
    await follow(page, "Saved")
    assert await page.locator("h2").all_text_contents() == ["More glaciers by radar"]
    await follow(page, "Search")
    await focus(page, "q")
    await page.keyboard.type("whale")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert await page.locator(".results .first").all_text_contents() == ["More whales by radar", "Whales by radar"]
    await follow(page, "Whales by radar")
    assert page.url.endswith("/2026-11-24#paper-1")
    assert await page.locator("[aria-pressed=true]").all_text_contents() == ["More like this"]
    await follow(page, "Earlier")
    assert await page.locator(".days .first").all_text_contents() == ["More whales by radar", "Glaciers by radar"]
    await follow(page, "Schedule")
    await focus(page, "timezone")
    await page.keyboard.type("Pacific/Auckland")
    await follow(page, "Save changes")
    assert (await Services.build(client).readers.get(reader.reader_id)).timezone == "Pacific/Auckland"


async def unsubscribe(page: Page, client: AsyncClient, reader: Reader) -> None:
    await follow(page, "Unsubscribe")
    await focus(page, "Unsubscribe", back=True)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert (await Services.build(client).readers.get(reader.reader_id)).status is ReaderStatus.UNSUBSCRIBED
    await follow(page, "Newest")
    assert "You are unsubscribed" in (await page.locator(".notice").text_content() or "")


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient, database: asyncpg.Connection) -> AsyncIterator[Visitor]:
    """A reader with the longest and most hostile name, preferences and papers, with feedback on them."""
    async with visitor_of(api, client) as visitor:
        visitor.secret = "0123456789abcdef"
        wide, reader_id = "W" * 100, visitor.reader.reader_id
        await visitor.readers.change(reader_id, {"name": wide, "profile": {"interests": [wide, HOSTILE]}})
        papers = [item_of(ArticleKind.PAPER, n, ("W" * 300, HOSTILE, None)[n % 3], 0.9) for n in range(4)]
        news = tuple(item_of(ArticleKind.NEWS, n, (HOSTILE, "W" * 300, None)[n], 0.5) for n in range(3))
        errors = {wide: wide}
        await give_digest(database, reader_id, digest_of(TODAY, *papers, news=news, source_errors=errors))
        await give_digest(database, reader_id, digest_of(TODAY - timedelta(days=1)))
        for item in (*papers[:2], news[0]):
            for saying in ("more", "save"):
                form = {"item": item_name(item.article), "do": saying}
                await visitor.http.post(f"{visitor.path('home')}/{TODAY}", data=form)
        yield visitor


@needs_chromium
async def test_the_home_pages_fit_the_screen_and_are_accessible(visitor: Visitor) -> None:
    place, first = visitor.path("home"), item_name(item_of(ArticleKind.PAPER, 0, "W" * 300, 0.9).article)
    paths = [place + where for where in ("", "/days", "/saved", "/search?q=%22W%22+or+alert", "/import", "/feed")]
    paths.append(visitor.path(f"more:{first}"))
    found, layouts = dict[str, list[str]](), set[str]()
    async with chromium() as browser, opened(browser) as page:
        for path in paths:
            await page.goto(f"{visitor.http.base_url}{path}")
            found |= await faults(page)
            layouts.add(await page.evaluate(LAYOUT))
        # test_reader_links_in_browser looks for faults of these pages.
        for purpose in PURPOSES:
            await page.goto(f"{visitor.http.base_url}{visitor.path(purpose)}")
            await page.set_viewport_size({"width": WIDTHS[-1], "height": 900})
            layouts.add(await page.evaluate(LAYOUT))
    assert found == {}
    assert len(layouts) == 1, "the frame and the tabs move from page to page"
