"""The pages behind readers' links in a real browser, if there is one."""

from collections.abc import AsyncIterator
from typing import Literal

import pytest
from playwright.async_api import Page
from supabase import AsyncClient

from app.config import ApiSettings
from app.persistence.readers import ReaderStatus
from embedded.stack import Ready
from tests.support.browser import chromium, faults, hide_error_status, needs_chromium, opened
from tests.support.running_api import RunningApi
from tests.support.visitors import HOSTILE, PURPOSES, Visitor, settings_with_links, visitor_of

WIDE = "W" * 100


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_links(stack)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        yield visitor


@needs_chromium
async def test_the_link_pages_fit_every_screen_and_are_accessible(visitor: Visitor) -> None:
    await visitor.readers.change(visitor.reader.reader_id, {"name": WIDE, "profile": {"interests": [WIDE, HOSTILE]}})
    async with chromium() as browser, opened(browser) as page:
        await page.route("**/r/**", hide_error_status)
        for purpose in (*PURPOSES, "a refused link"):
            known = purpose in PURPOSES
            await page.goto(f"{visitor.http.base_url}{visitor.path(purpose) if known else '/r/preferences/x'}")
            assert await faults(page) == {}, purpose
            if purpose in {"schedule", "preferences"}:
                await fill_in_invalid_values(page, purpose)
                assert await faults(page) == {}, f"{purpose}, refused"
        assert await background(page, "dark") == "rgb(15, 14, 12)"
        assert await background(page, "light") == "rgb(239, 234, 224)"


async def fill_in_invalid_values(page: Page, purpose: str) -> None:
    if purpose == "schedule":
        await page.locator("[name=timezone]").evaluate(
            "(list, value) => list.add(new Option(value, value, true, true))", WIDE * 3
        )
    else:
        await page.fill("[name=interests]", WIDE * 3)
    await page.locator("main form button[type=submit], main form button:not([type])").first.click()
    await page.wait_for_load_state()
    assert await page.locator("[aria-invalid=true]").count(), "the form was refused"


async def background(page: Page, scheme: Literal["light", "dark"]) -> str:
    await page.emulate_media(color_scheme=scheme)
    return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))


@needs_chromium
async def test_the_button_works_under_the_content_policy(visitor: Visitor) -> None:
    async with chromium() as browser, opened(browser) as page:
        await page.goto(f"{visitor.http.base_url}{visitor.path('unsubscribe')}")
        await page.click("button[value=unsubscribe]")
        await page.wait_for_load_state()
    assert (await visitor.now).status is ReaderStatus.UNSUBSCRIBED
