"""The operator pages in a real browser, with a real API, worker and database."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from app.days import yesterday
from embedded.sample.server import serve_sample
from embedded.stack import Ready
from tests.support.browser import SCREENS, Screen, chromium, faults, hide_error_status, needs_chromium, opened
from tests.support.operators import ADA_KEY, KEYS, ROOT_KEY, furnish
from tests.support.processes import LONG_LEASE, api_process, start_api, worker_process

SOME: tuple[Screen, ...] = ((320, "light"), (768, "dark"), (1280, "light"))
PROFILE = {"name": "Ada", "interests": ["graph neural networks"]}
PAGES = ("/ops", "/ops/tasks", "/ops/tasks?status=failed", "/ops/deliveries", "/ops/readers")
REFUSALS = ("/ops/kinds/fetch/pause", "/ops/tasks/x", "/ops/tasks?cursor=x")
WITHIN = 60_000
"""Milliseconds after which a wait fails its test."""


@pytest.fixture
async def address(stack: Ready, database: asyncpg.Connection) -> AsyncIterator[str]:  # noqa: ARG001  (database_reset)
    api = api_process(stack, API_KEYS=KEYS, ADMINS="root,eve")
    yield await start_api(api)
    assert await api.stop() == 0


async def signed_in(page: Page, address: str) -> None:
    """Sign in by keyboard."""
    page.set_default_timeout(WITHIN)
    await page.goto(f"{address}/ops")
    await page.locator("#key:focus").wait_for()
    await page.keyboard.type(ROOT_KEY)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{address}/ops")


async def focused(page: Page) -> str:
    """The text of the focused element, read in one step, because the page updates itself and may navigate."""
    try:
        text: str = await page.evaluate("() => document.activeElement?.innerText ?? ''")
    except PlaywrightError:
        return ""
    return " ".join(text.split())


async def press(page: Page, name: str) -> None:
    """Move the focus with Tab to the element `name` and press Enter. The element may appear later."""
    async with asyncio.timeout(WITHIN / 1000):
        await page.keyboard.press("Tab")
        while not (await focused(page)).startswith(name):
            await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")


async def see(page: Page, text: str) -> None:
    await page.get_by_role("status").filter(has_text=text).wait_for()


@needs_chromium
async def test_an_operator_can_do_everything_with_the_keyboard(
    address: str, stack: Ready, database: asyncpg.Connection
) -> None:
    await furnish(database)
    async with chromium() as browser, opened(browser) as page, at_work(stack, "worker started"):
        await signed_in(page, address)
        await press(page, "Pause digest")
        await page.keyboard.press("Tab")
        await page.keyboard.type("the model is away")
        await page.keyboard.press("Enter")
        await see(page, "Paused")
        task_id = await posted(address)
        async with seen_from(page, f"{address}/ops/tasks/{task_id}") as watching:
            await watching.get_by_text("pending").wait_for()
            await press(page, "Resume digest")
            await see(page, "Resumed")
            await watching.get_by_text("Read the digest").wait_for()
            assert await watching.locator("[data-show=status]").inner_text() == "completed"
        await press(page, "Failed")
        await press(page, "Replay digest")
        await see(page, "Replayed")
        await press(page, "In doubt")
        await press(page, "Mark as sent")
        await see(page, "Marked as sent")
        await press(page, "Sign out")
        await page.get_by_label("API key").wait_for()
    entries = await database.fetch(
        "select actor || ' ' || action as done from public.audit order by created_at offset 1"
    )
    assert [row["done"] for row in entries] == ["root pause", "root resume", "root replay", "root resolve"]


@needs_chromium
async def test_every_page_renders_correctly_on_every_screen_size(address: str, database: asyncpg.Connection) -> None:
    async with chromium() as browser, opened(browser) as page:
        await page.route("**/ops/**", hide_error_status)
        await page.goto(f"{address}/ops/sign-in")
        found = await faults(page, SOME)
        await page.fill("#key", "a-wrong-key-0123456789")
        await page.keyboard.press("Enter")
        await page.get_by_role("alert").wait_for()
        found |= await faults(page, SOME)
        await signed_in(page, address)
        found |= await looked_at(page, address, dict.fromkeys(PAGES, SOME[:1]))
        await furnish(database)
        dead = await database.fetchval("select task_id from public.queue where dead_letter and kind = 'fetch'")
        full = dict.fromkeys((*PAGES[1:], f"/ops/tasks/{dead}"), SOME)
        found |= await looked_at(page, address, {"/ops": SCREENS, **full, **dict.fromkeys(REFUSALS, SOME[:2])})
    assert found == {}


@asynccontextmanager
async def at_work(stack: Ready, ready: str) -> AsyncIterator[None]:
    """A worker with a sample day, while the block runs."""
    async with serve_sample(yesterday()) as hosts:
        feeds = ",".join(f"{feed.name}={feed.url}" for feed in hosts.feeds)
        worker = worker_process(stack, ARXIV_BASE_URL=hosts.arxiv_base_url, FEEDS=feeds, **LONG_LEASE)
        await worker.start(ready)
        yield
        assert await worker.stop() == 0


@asynccontextmanager
async def seen_from(page: Page, address: str) -> AsyncIterator[Page]:
    """A second tab without any input."""
    tab = await page.context.new_page()
    tab.set_default_timeout(WITHIN)
    await tab.goto(address)
    yield tab
    await tab.close()


async def posted(address: str) -> str:
    """Post a digest with an API key; returns the task's id."""
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as http:
        answer = await http.post("/v1/digests", json={"profile": PROFILE}, headers={"X-API-Key": ADA_KEY})
        return str(answer.json()["task_id"])


async def looked_at(page: Page, address: str, screens: Mapping[str, Sequence[Screen]]) -> dict[str, list[str]]:
    """The errors of pages, by page and screen."""
    found: dict[str, list[str]] = {}
    for path, each in screens.items():
        await page.goto(address + path)
        await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        found |= await faults(page, each)
    return found
