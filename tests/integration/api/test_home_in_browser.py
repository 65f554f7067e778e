"""A reader's place in a real browser: from a mail to the next digest by keyboard alone, and how all of it looks."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from playwright.async_api import Page
from supabase import AsyncClient

from app.config import ApiSettings
from app.mail.item_links import item_name
from app.models import ArticleKind
from app.persistence.readers import Reader, ReaderStatus
from app.services import Services
from embedded.stack import Ready
from tests.contract.feedback_scenarios import rated
from tests.contract.schedule import Clock, add_reader
from tests.contract.test_items import copy, save
from tests.in_browser import chromium, faults, needs_chromium, opened
from tests.integration.api.conftest import RunningApi
from tests.integration.api.visitors import (
    HOSTILE,
    TODAY,
    Visitor,
    digest_of,
    give_digest,
    settings_with_links,
    visitor_of,
)
from tests.integration.mail.conftest import Postbox
from tests.integration.worker.conftest import (  # noqa: F401  (fixtures)
    StartMailer,
    box,
    clock,
    start_mailer,
    start_worker,
    until,
)
from tests.integration.worker.mailing import body, look, mails
from tests.unit.mail.conftest import item_of

# Whoever asks for radar alone is shown the first of two first.
FIRST_DAY = (
    ("Glaciers by radar", "Radar, radar: the ice and the crevasses of a glacier."),
    ("Whales by radar", "A radar hears the songs of whales in the ocean."),
)
SECOND_DAY = (
    ("More glaciers by radar", "Radar, radar again: how melting ice opens crevasses in spring."),
    ("More whales by radar", "Songs of whales that cross an ocean, heard by a radar at the coast."),
)
SENT = "select count(*) = $1 from public.deliveries where state = 'sent'"
FOCUSED = "() => [document.activeElement.textContent, document.activeElement.name, document.activeElement.id]"


@pytest.fixture
def settings(stack: Ready, database: asyncpg.Connection) -> ApiSettings:  # noqa: ARG001  (database_reset)
    """The API knows the secret with which the worker's mails are signed."""
    return settings_with_links(stack, "0123456789abcdef")


async def to(page: Page, what: str, *, back: bool = False) -> None:
    """Go on by the keyboard to what is called so, or has this name or id."""
    for _ in range(200):
        await page.keyboard.press("Shift+Tab" if back else "Tab")
        if what in await page.evaluate(FOCUSED):
            return
    raise AssertionError(f"{what} cannot be reached by keyboard on {page.url}")


async def follow(page: Page, what: str) -> None:
    """Press Enter there, and wait for the page that it leads to."""
    await to(page, what)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def press_at(page: Page, title: str, button: str) -> None:
    """Press an item's button, found from its title on."""
    await to(page, title)
    await follow(page, button)


async def headlines(page: Page) -> list[str]:
    return await page.locator(".headline").all_text_contents()


def links_in(mail: str, api: RunningApi) -> dict[str, str]:
    """The first link of each name in a mail's text, at the API that runs here."""
    found = re.findall(r"^ *([A-Z][\w ]+): https://digest\.example(/r/\S+)", mail, re.MULTILINE)
    return {name: f"http://127.0.0.1:{api.port}{path}" for name, path in reversed(found)}


@needs_chromium
async def test_from_the_mail_to_the_next_digest_by_keyboard_alone(
    client: AsyncClient,
    database: asyncpg.Connection,
    clock: Clock,  # noqa: F811  (the fixture)
    box: Postbox,  # noqa: F811  (the fixture)
    start_mailer: StartMailer,  # noqa: F811  (the fixture)
    api: RunningApi,
) -> None:
    await clock.set("2026-11-24T06:00:00Z")
    profile = {"interests": ["radar"]}
    reader, other = [
        await add_reader(client, email=f"{name}@example.org", external_id=name, profile=profile)
        for name in ("ada", "bob")
    ]
    await come(client, *FIRST_DAY)
    await look(client, clock, 24)
    await start_mailer()
    await until(database, SENT, 2)
    mail = next(body(each, "plain") for each in mails(box) if "ada@" in str(each["To"]))
    links = links_in(mail, api)
    async with chromium() as browser, opened(browser) as page:
        await page.goto(links["Your page"])
        assert await headlines(page) == ["Glaciers by radar", "Whales by radar"]
        await votes(page, links, client, reader)
        await come(client, *SECOND_DAY)
        await look(client, clock, 25)
        await until(database, SENT, 4)
        await page.goto(links["Your page"])
        assert await headlines(page) == ["More whales by radar", "More glaciers by radar"]
        assert "you liked" in await page.content()
        unasked = await Services.build(client).digests.list_days(other.reader_id, limit=1)
        assert unasked[0].first_title == "More glaciers by radar"
        await keeps_and_finds(page, client, reader)
        await leaves(page, client, reader)


async def come(client: AsyncClient, *papers: tuple[str, str]) -> None:
    articles = [
        copy(external_id=title, url=f"https://x.example/{title.replace(' ', '-')}", title=title, abstract=abstract)
        for title, abstract in papers
    ]
    await save(client, *articles)


async def votes(page: Page, links: dict[str, str], client: AsyncClient, reader: Reader) -> None:
    await press_at(page, "Whales by radar", "More like this")
    down = page.locator("[aria-pressed]")
    assert await down.all_text_contents() == ["More like this"]
    await press_at(page, "Glaciers by radar", "Not for me")
    assert {(paper.title, paper.liked) for paper in await rated(client, reader.reader_id)} == {
        ("Whales by radar", True),
        ("Glaciers by radar", False),
    }
    # The next button from where the page came back to is the pressed one's own item's.
    await follow(page, "Not for me")
    assert [paper.title for paper in await rated(client, reader.reader_id)] == ["Whales by radar"]
    # The mail's own small link: the first item's, of which the mail says "Not for me".
    await page.goto(links["Not for me"])
    await follow(page, "Not for me")
    assert await page.locator("h1").text_content() == "Noted"
    await follow(page, "Take it back")
    assert [paper.title for paper in await rated(client, reader.reader_id)] == ["Whales by radar"]


async def keeps_and_finds(page: Page, client: AsyncClient, reader: Reader) -> None:
    await press_at(page, "More glaciers by radar", "Save")
    await follow(page, "Saved")
    assert await page.locator("h2").all_text_contents() == ["More glaciers by radar"]
    await follow(page, "Search")
    await to(page, "q")
    await page.keyboard.type("whale")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert await page.locator(".found .first").all_text_contents() == ["More whales by radar", "Whales by radar"]
    await follow(page, "Whales by radar")
    assert page.url.endswith("/2026-11-24#paper-1")
    assert await page.locator("[aria-pressed]").all_text_contents() == ["More like this"]
    await follow(page, "Earlier")
    assert await page.locator(".days .first").all_text_contents() == ["More whales by radar", "Glaciers by radar"]
    await follow(page, "When it comes")
    await to(page, "timezone")
    await page.keyboard.press("Control+A")
    await page.keyboard.type("Pacific/Auckland")
    await follow(page, "Keep")
    assert (await Services.build(client).readers.get(reader.reader_id)).timezone == "Pacific/Auckland"


async def leaves(page: Page, client: AsyncClient, reader: Reader) -> None:
    await follow(page, "Leave")
    await follow(page, "Unsubscribe")
    assert (await Services.build(client).readers.get(reader.reader_id)).status is ReaderStatus.UNSUBSCRIBED
    await follow(page, "Newest")
    assert "You are unsubscribed" in (await page.locator(".notice").text_content() or "")


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient, database: asyncpg.Connection) -> AsyncIterator[Visitor]:
    """A reader whose name, words and papers are as wide and as hostile as can be, with votes on them."""
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
                await visitor.http.post(f"{visitor.path('place')}/{TODAY}", data=form)
        yield visitor


@needs_chromium
async def test_nothing_of_the_place_sticks_out_or_cannot_be_read(visitor: Visitor) -> None:
    place, first = visitor.path("place"), item_name(item_of(ArticleKind.PAPER, 0, "W" * 300, 0.9).article)
    paths = [place + where for where in ("", "/days", "/saved", "/search?q=%22W%22+or+alert")]
    paths += [visitor.path(f"more:{first}"), visitor.path("words"), visitor.path("schedule")]
    found = dict[str, list[str]]()
    async with chromium() as browser, opened(browser) as page:
        for path in paths:
            await page.goto(f"{visitor.http.base_url}{path}")
            found |= await faults(page)
    assert found == {}
