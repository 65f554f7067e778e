"""A real Chromium, driven by Playwright, for the tests of pages."""

import asyncio
import html
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, Route, async_playwright

# The headless shell is the same engine without a window: two thirds of the CPU time.
CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page was not looked at")
COMPILED: Final = Path(__file__).parents[2] / ".local" / "playwright"
"""Where Node keeps the compiled code of Playwright's driver, which it would compile for each test."""
WIDTHS: Final = (320, 768, 1280)
Screen = tuple[int, Literal["light", "dark"]]
"""The width in pixels, and the preferred colour scheme."""

SCREENS: Final[tuple[Screen, ...]] = (
    *((width, "light") for width in WIDTHS),
    *((width, "dark") for width in WIDTHS),
)

# Elements that reach beyond the right edge, unless they scroll within an element.
_OUTSIDE = """() => [...document.body.querySelectorAll("*")].filter((e) =>
    e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
    && !e.closest(".scrolls")).map((e) => `${e.tagName}.${e.className}`)"""
# The name of the newspaper is one line, however narrow the screen is.
_BROKEN_NAME = """() => [...document.querySelectorAll(".nameplate")].filter((e) =>
    e.getBoundingClientRect().height > 1.9 * parseFloat(getComputedStyle(e).fontSize)).map((e) => e.textContent)"""
# Links that have the browser's default colours, of visited and other links, in light and in dark pages.
_DEFAULT_LINKS = """() => [...document.querySelectorAll("a[href]")].filter((e) =>
    ["rgb(0, 0, 238)", "rgb(85, 26, 139)", "rgb(158, 158, 255)", "rgb(208, 173, 240)"]
    .includes(getComputedStyle(e).color)).map((e) => e.outerHTML.slice(0, 200))"""
_VIOLATIONS = "(options) => axe.run(options).then((found) => found.violations)"
_CONTRAST = "color-contrast"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start the system's Chromium; it stops with all its pages."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NODE_COMPILE_CACHE", str(COMPILED))
        playwright = await async_playwright().start()
    try:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        try:
            yield browser
        finally:
            await browser.close()
    finally:
        await playwright.stop()


@asynccontextmanager
async def opened(browser: Browser, *, timezone: str | None = None) -> AsyncIterator[Page]:
    """Open a tab with its own cookies. Afterwards its console must be empty."""
    context = await browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme="light", timezone_id=timezone
    )
    page = await context.new_page()
    console: list[str] = []
    page.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: console.append(f"error: {error}"))
    try:
        yield page
    finally:
        await context.close()
    assert console == []


_FOCUSED = "() => [document.activeElement.textContent, document.activeElement.name, document.activeElement.id]"


async def focus(page: Page, what: str, *, back: bool = False) -> None:
    """Move the focus by keyboard to the element with this text, name or id."""
    for _ in range(200):
        await page.keyboard.press("Shift+Tab" if back else "Tab")
        if what in await page.evaluate(_FOCUSED):
            return
    raise AssertionError(f"{what} cannot be reached by keyboard on {page.url}")


async def follow(page: Page, what: str) -> None:
    """Press Enter and wait for the page that opens."""
    await focus(page, what)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def faults(page: Page, screens: Sequence[Screen] = SCREENS) -> dict[str, list[str]]:
    """Layout and accessibility errors by screen.

    These are elements beyond the edge, a newspaper's name in two lines, links in default colours, and axe violations
    that are at least moderate. Only colours depend on the scheme, so axe checks dark screens for nothing else.
    `SCREENSHOTS=folder` in the environment stores a picture of each screen.
    """
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    found: dict[str, list[str]] = {}
    for width, scheme in screens:
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=scheme)
        wrong = [f"sticks out: {element}" for element in await page.evaluate(_OUTSIDE)]
        violations = await _violations(page, scheme, contrast=(width, scheme) in _with_contrast(screens))
        wrong += [f"broken: {name}" for name in await page.evaluate(_BROKEN_NAME)]
        wrong += [f"default colour: {link}" for link in await page.evaluate(_DEFAULT_LINKS)]
        serious = [each for each in violations if each["impact"] in {"moderate", "serious", "critical"}]
        await _take_screenshot(page, f"{width}-{scheme}")
        if wrong := wrong + [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in serious]:
            found[f"{page.url} {width} {scheme}"] = wrong
    return found


def _with_contrast(screens: Sequence[Screen]) -> list[Screen]:
    """Where axe measures the contrast of each text, which takes most of its time: the first light and the last dark."""
    light, dark = [each for each in screens if each[1] == "light"], [each for each in screens if each[1] == "dark"]
    return [*light[:1], *dark[-1:]]


async def _violations(page: Page, scheme: str, *, contrast: bool) -> list[dict[str, Any]]:
    """What axe finds on the page."""
    if scheme == "dark" and not contrast:
        return []
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if scheme == "dark":
        options["runOnly"] = [_CONTRAST]
    elif not contrast:
        options["rules"] = {_CONTRAST: {"enabled": False}}
    found: list[dict[str, Any]] = await page.evaluate(_VIOLATIONS, options)
    return found


async def _take_screenshot(page: Page, name: str) -> None:
    """Store a picture of the page if `SCREENSHOTS` names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        place = re.sub(r"[A-Za-z0-9_.-]{40,}|[^\w-]+", "-", urlsplit(page.url).path).strip("-")
        title = re.sub(r"\W+", "-", await page.title())[:30]
        await page.screenshot(path=Path(folder) / f"{place}-{title}-{name}.png", full_page=True)


async def hide_error_status(route: Route) -> None:
    """Chromium writes a console line for each refused page; change the status so that it does not."""
    if route.request.resource_type != "document":  # a stream would never be complete
        await route.continue_()
        return
    answer = await route.fetch(max_redirects=0)
    refused = answer.status >= HTTPStatus.BAD_REQUEST
    await route.fulfill(response=answer, status=HTTPStatus.OK if refused else answer.status)


FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",    "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--virtual-time-budget=5000", "--dump-dom",
)  # fmt: skip


async def look(folder: Path, scheme: int) -> list[dict[str, object]]:
    """Open the measuring page; `scheme` is Blink's number of the preferred colours, 0 for dark and 1 for light."""
    assert CHROMIUM is not None
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM, *FLAGS, f"--blink-settings=preferredColorScheme={scheme}", f"--user-data-dir={folder / 'user'}",
        (folder / "measure.html").as_uri(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        printed, _ = await browser.communicate()
    finally:
        if browser.returncode is None:
            browser.kill()
            await browser.wait()
    found = re.search(r'<pre id="found">(.*?)</pre>', printed.decode(), re.DOTALL)
    assert found is not None, "Chromium printed no measurements"
    measured: list[dict[str, object]] = json.loads(html.unescape(found[1]))
    return measured
