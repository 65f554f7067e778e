"""A real Chromium, driven by Playwright: what tests of pages share."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Route, async_playwright

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page was not looked at")
WIDTHS: Final = (375, 768, 1280)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")

# What sticks out of the page to the right, unless it scrolls within an element of its own.
_OUTSIDE = """() => [...document.body.querySelectorAll("*")].filter((e) =>
    e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
    && !e.closest(".scrolls")).map((e) => `${e.tagName}.${e.className}`)"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start the system's Chromium; it is stopped with all its pages."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(
    browser: Browser, *, width: int = 1280, scheme: Literal["light", "dark"] = "light"
) -> AsyncIterator[Page]:
    """Open a tab with cookies of its own. Afterwards its console must have stayed empty."""
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    try:
        yield page
    finally:
        await context.close()
    assert said == []


async def faults(page: Page) -> list[str]:
    """What is wrong with how the page shows: what sticks out, and what axe finds serious or critical."""
    outside = [f"sticks out: {element}" for element in await page.evaluate(_OUTSIDE)]
    found = (await Axe().run(page)).response["violations"]
    serious = [each for each in found if each["impact"] in {"serious", "critical"}]
    return outside + [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in serious]


async def as_if_it_were_fine(route: Route) -> None:
    """Chromium itself writes a line into the console for each refused page; that is not the page's."""
    if route.request.resource_type != "document":  # a stream would never have come whole
        await route.continue_()
        return
    answer = await route.fetch(max_redirects=0)
    refused = answer.status >= HTTPStatus.BAD_REQUEST
    await route.fulfill(response=answer, status=HTTPStatus.OK if refused else answer.status)
