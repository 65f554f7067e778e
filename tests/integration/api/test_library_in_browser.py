"""The library page in a real browser: connect with the keyboard, a wrong key, a refused key, and disconnect."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from supabase import AsyncClient

from app.config import ApiSettings
from app.persistence.reader_papers import PaperInput, ReaderPapers
from embedded.stack import Ready
from tests.support.browser import chromium, faults, hide_error_status, needs_chromium, opened
from tests.support.fake_zotero import KEY, USER, FakeZotero
from tests.support.running_api import RunningApi
from tests.support.visitors import HOSTILE, Visitor, settings_with_links, visitor_of

REFUSE = "update public.reader_libraries set problem_kind = 'key_refused', problem = 'no' where true"


@pytest.fixture
async def zotero() -> AsyncIterator[FakeZotero]:
    async with FakeZotero().serve() as zotero:
        yield zotero


@pytest.fixture
def settings(stack: Ready, database_reset: None, zotero: FakeZotero) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_links(stack).model_copy(update={"zotero_base_url": zotero.url})


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        yield visitor


@needs_chromium
async def test_a_library_is_connected_and_disconnected(
    visitor: Visitor, client: AsyncClient, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.persistence.reader_libraries.CHECK_INTERVAL", timedelta(0))
    paper = PaperInput(keys=("doi:1",), doi="1", title=f"{HOSTILE} {'W' * 90}", url="https://ice.example/1")
    await ReaderPapers(client).put(visitor.reader.reader_id, [(paper, {"liked": True})])
    async with chromium() as browser, opened(browser) as page:
        await page.route("**/*", hide_error_status)
        await page.goto(f"{visitor.http.base_url}{visitor.path('home')}")
        await page.get_by_role("link", name="Library").click()
        assert await faults(page) == {}
        await page.get_by_label("Library: users/").press_sequentially(USER)
        await page.keyboard.press("Tab")
        await page.keyboard.type("K" * 24)
        await page.keyboard.press("Tab")
        await page.keyboard.type("Thesis/**")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.get_by_text("Zotero refuses the key").wait_for()
        assert await page.get_by_label("Key with read access").input_value() == "", "a key is never sent back"
        assert await page.get_by_label("Collections").input_value() == "Thesis/**"
        assert await faults(page) == {}
        await page.get_by_label("Key with read access").fill(KEY)
        await page.get_by_role("button", name="Connect").click()
        await page.get_by_text("It is read in a moment.").wait_for()
        await database.execute(REFUSE)
        await page.reload()
        await page.get_by_text("Zotero refuses the key.").wait_for()
        assert await faults(page) == {}
        if folder := os.environ.get("SCREENSHOTS"):
            await page.screenshot(path=Path(folder) / "library.png", full_page=True)
        await page.get_by_label("Disconnect the library").select_option("keep")
        await page.get_by_role("button", name="Disconnect").click()
        await page.get_by_text("Connect your Zotero library").wait_for()
    assert not await database.fetchval("select exists (select from public.reader_libraries)")
