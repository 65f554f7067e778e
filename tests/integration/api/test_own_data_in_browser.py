"""A reader's settings and own data in a real browser: by keyboard, from the request to the deletion."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import Page
from supabase import AsyncClient

from app.config import ApiSettings
from app.persistence.own_data import OwnData
from embedded.stack import Ready
from tests.support.browser import chromium, faults, focus, follow, hide_error_status, needs_chromium, opened
from tests.support.imports import fill_papers
from tests.support.reader_mails import body, mails
from tests.support.running_api import RunningApi
from tests.support.running_worker import StartMailer, until
from tests.support.smtp_server import Postbox
from tests.support.visitors import HOSTILE, Visitor, settings_with_links, visitor_of

SENT = "select count(*) = $1 from public.deliveries where status = 'sent'"
SECRET = "0123456789abcdef"


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    """The API has the secret that signs the links in the worker's mails."""
    return settings_with_links(stack, SECRET)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        visitor.secret = SECRET
        yield visitor


def link_in(box: Postbox, visitor: Visitor, number: int) -> str:
    """The link in a mail's text, with this API's host."""
    (path,) = re.findall(r"https://digest\.example(/r/\S+)", body(mails(box)[number], "plain"))
    return f"{visitor.http.base_url}{path}"


async def chosen(page: Page, field: str) -> str:
    return await page.locator(f"#{field}").input_value()


@needs_chromium
async def test_data_is_downloaded_and_deleted_by_keyboard_alone(
    visitor: Visitor,
    client: AsyncClient,
    database: asyncpg.Connection,
    box: Postbox,
    start_mailer: StartMailer,
    tmp_path: Path,
) -> None:
    await fill_papers(database, visitor.reader.reader_id, 3)
    await start_mailer()
    async with chromium() as browser, opened(browser) as page:
        await page.goto(f"{visitor.http.base_url}{visitor.path('home')}")
        await follow(page, "Your data")
        assert await faults(page) == {}
        await follow(page, "Mail me a link to download my data")
        assert "is on its way" in (await page.get_by_role("status").text_content() or "")
        assert await faults(page) == {}
        await until(database, SENT, 1)
        await page.goto(link_in(box, visitor, 0))
        assert await faults(page) == {}
        await focus(page, "Everything about you, as JSON")
        async with page.expect_download() as download:
            await page.keyboard.press("Enter")
        await (await download.value).save_as(file := tmp_path / "data.json")
        assert '"email": "ada@example.org"' in file.read_text(encoding="utf-8")
        await page.goto(f"{visitor.http.base_url}{visitor.path('home')}/data")
        await follow(page, "Mail me a link to delete my data")
        await until(database, SENT, 2)
        await page.goto(link_in(box, visitor, 1))
        assert await faults(page) == {}
        await follow(page, "Delete everything about me")
        assert await page.locator("h1").text_content() == "Your data is deleted"
        assert await faults(page) == {}
    assert await database.fetchval("select count(*) from public.readers") == 0
    assert await OwnData(client).to_erase() == []


@needs_chromium
async def test_the_forms_fit_the_screen_and_show_errors(visitor: Visitor) -> None:
    found = dict[str, list[str]]()
    async with chromium() as browser, opened(browser) as page:
        await page.route("**/*", hide_error_status)
        await page.goto(f"{visitor.http.base_url}{visitor.path('preferences')}")
        await page.get_by_label("Interests").fill(f"{HOSTILE}\n{'W' * 101}")
        await page.get_by_label("Most papers").fill("20")
        await page.get_by_role("button", name="Save").click()
        assert await page.locator(".field-error").all_text_contents() == [
            "Enter at most 30 lines of at most 100 characters."
        ]
        assert await chosen(page, "max_papers") == "20"
        found |= await faults(page)
        await page.goto(f"{visitor.http.base_url}{visitor.path('schedule')}")
        for day in ("Monday", "Tuesday"):
            await page.get_by_label(day).uncheck()
        await page.get_by_label("On a day without new items").select_option("notify")
        await page.get_by_role("button", name="Save").click()
        assert await page.locator(".field-error").all_text_contents() == ["Choose at least one day."]
        assert await chosen(page, "when_empty") == "notify"
        found |= await faults(page)
    assert found == {}
    assert await visitor.now == visitor.reader


@needs_chromium
async def test_the_browsers_time_zone_is_offered(visitor: Visitor) -> None:
    address = f"{visitor.http.base_url}{visitor.path('schedule')}"
    async with chromium() as browser, opened(browser, timezone="America/New_York") as page:
        await page.goto(address)
        assert await chosen(page, "timezone") == "Europe/Berlin"
        await page.get_by_text("Your browser has another time zone.").wait_for()
        assert await faults(page) == {}
        await focus(page, "Use America/New_York")
        await page.keyboard.press("Enter")
        assert await chosen(page, "timezone") == "America/New_York"
        assert (await visitor.now).timezone == "Europe/Berlin", "nothing is saved before the button"
        await follow(page, "Save changes")
        assert (await visitor.now).timezone == "America/New_York"
        assert not await page.locator("#timezone-offer").is_visible()
        await visitor.readers.change(visitor.reader.reader_id, {"timezone": None, "send_at": None})
        await page.goto(address)
        assert await chosen(page, "timezone") == "America/New_York"


@needs_chromium
async def test_a_time_zone_is_chosen_without_scripts(visitor: Visitor) -> None:
    async with chromium() as browser:
        context = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{visitor.http.base_url}{visitor.path('schedule')}")
        await page.locator("#timezone").select_option("Pacific/Auckland")
        await page.get_by_role("button", name="Save").click()
        await context.close()
    assert (await visitor.now).timezone == "Pacific/Auckland"
