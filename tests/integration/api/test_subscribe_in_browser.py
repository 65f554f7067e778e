"""The sign-up page and the confirmation page in a real browser, if there is one."""

import pytest
from playwright.async_api import Page
from supabase import AsyncClient

from app.config import ApiSettings
from app.links import Link, Links
from app.persistence.readers import Readers, ReaderStatus
from embedded.stack import Ready
from tests.support.browser import chromium, faults, hide_error_status, needs_chromium, opened
from tests.support.confirmations import unconfirmed
from tests.support.running_api import KEY, RunningApi
from tests.support.visitors import SECRET, TODAY


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    values = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": KEY}
    links = {"public_url": "http://digest.example", "link_secret": SECRET, "public_sign_up": "true"}
    return ApiSettings.model_validate(values | links)


@pytest.fixture
async def address(api: RunningApi) -> str:
    return f"http://127.0.0.1:{api.port}"


async def fill_in(page: Page, interests: str) -> None:
    """Fill in the form with the keyboard alone, from its first field to its button."""
    await page.locator("#email").focus()
    await page.keyboard.type("ada@example.org")
    await page.keyboard.press("Tab")
    await page.keyboard.type(interests)
    for _ in range(2):
        await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.id") == "send_at"
    await page.locator("main button").focus()
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


@needs_chromium
async def test_a_visitor_signs_up_with_the_keyboard(address: str, client: AsyncClient) -> None:
    async with chromium() as browser, opened(browser) as page:
        await page.goto(f"{address}/subscribe")
        assert await faults(page) == {}
        await fill_in(page, "ice cores")
        assert await page.text_content("h1") == "Check your mail"
        assert await faults(page) == {}
    (reader,) = await Readers(client).page(None)
    assert (reader.email, reader.status) == ("ada@example.org", ReaderStatus.UNCONFIRMED)


@needs_chromium
async def test_a_refused_form_is_accessible_and_keeps_its_values(address: str) -> None:
    async with chromium() as browser, opened(browser) as page:
        await page.route("**/subscribe", hide_error_status)
        await page.goto(f"{address}/subscribe")
        await fill_in(page, "W" * 101)
        assert await page.locator("[aria-invalid=true]").get_attribute("id") == "interests"
        assert await page.input_value("#email") == "ada@example.org"
        assert await faults(page) == {}


@needs_chromium
@pytest.mark.parametrize(
    ("zone", "script", "selected"),
    [
        ("America/New_York", True, "America/New_York"),
        ("Asia/Tokyo", False, "UTC"),
    ],
)
async def test_the_browsers_time_zone_is_selected(zone: str, script: bool, selected: str, address: str) -> None:
    async with chromium() as browser:
        context = await browser.new_context(timezone_id=zone, java_script_enabled=script)
        page = await context.new_page()
        await page.goto(f"{address}/subscribe")
        assert await page.input_value("#timezone") == selected
        await context.close()


@needs_chromium
async def test_the_confirmation_page_fits_and_its_button_works(address: str, client: AsyncClient) -> None:
    reader = await unconfirmed(client)
    path = Links([SECRET], "").path("confirm", Link(reader.reader_id, 1, TODAY))
    async with chromium() as browser, opened(browser) as page:
        await page.goto(f"{address}{path}")
        assert await faults(page) == {}
        for _ in range(2):
            await page.keyboard.press("Tab")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert await page.text_content("h1") == "Your address is confirmed"
        assert await faults(page) == {}
    assert (await Readers(client).get(reader.reader_id)).status is ReaderStatus.ACTIVE
