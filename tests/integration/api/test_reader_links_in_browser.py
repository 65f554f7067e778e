"""The pages behind readers' links in a real browser, where there is one."""

import asyncio
import html
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest
import websockets
from supabase import AsyncClient

from app.config import ApiSettings
from app.pages.static_files import StaticFiles
from app.persistence.readers import ReaderStatus
from embedded.stack import Ready
from tests.integration.api.conftest import RunningApi
from tests.integration.api.test_pages import FLAGS
from tests.integration.api.visitors import HOSTILE, PURPOSES, WORDS, Visitor, settings_with_links, visitor_of
from tests.integration.digest.test_page_in_browser import CHROMIUM, MEASURE, look


@pytest.fixture
def settings(stack: Ready, database: asyncpg.Connection) -> ApiSettings:  # noqa: ARG001  (emptied)
    return settings_with_links(stack)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        yield visitor


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the pages' layout was not looked at")
@pytest.mark.parametrize(("scheme", "background"), [(1, "rgb(239, 234, 224)"), (0, "rgb(15, 14, 12)")])
async def test_nothing_sticks_out_on_any_screen(visitor: Visitor, tmp_path: Path, scheme: int, background: str) -> None:
    wide, widths = "W" * 100, (375, 768, 1280)
    await visitor.readers.change(visitor.reader.reader_id, {"name": wide, "profile": {"interests": [wide, HOSTILE]}})
    answers = [await visitor.get(purpose) for purpose in PURPOSES]
    answers += [await visitor.post("schedule", zone=wide, send_at=wide), await visitor.post("words", **WORDS)]
    answers += [await visitor.post("words", **WORDS | {"interests": wide * 3}), await visitor.http.get("/r/words/x")]
    style = f"<style>{(await visitor.http.get(StaticFiles().path('broadsheet.css'))).text}</style>"
    pages = [answer.text.replace("</head>", f"{style}</head>") for answer in answers]
    shown = [(page, width) for page in pages for width in widths]
    frames = (f'<iframe width="{width}" height="900" srcdoc="{html.escape(page)}"></iframe>' for page, width in shown)
    (tmp_path / "measure.html").write_text(MEASURE.format(frames="".join(frames)), encoding="utf-8")
    for seen, (_, width) in zip(await look(tmp_path, scheme), shown, strict=True):
        assert seen == seen | {"width": width, "scroll": width, "outside": [], "background": background}


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the button was not pressed in one")
async def test_the_button_works_in_a_browser_under_the_pages_own_policy(visitor: Visitor, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    address = f"{visitor.http.base_url}{visitor.path('unsubscribe')}"
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}", address, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60):
            tab = await the_tab(tmp_path)
            async with websockets.connect(tab) as page:
                press = {"expression": "document.querySelector('button[value=leave]')?.click()"}
                number = 0
                while (await visitor.now).status is ReaderStatus.ACTIVE:
                    number += 1
                    await page.send(json.dumps({"id": number, "method": "Runtime.evaluate", "params": press}))
                    await asyncio.sleep(0.2)
    finally:
        browser.kill()
        await browser.wait()
    assert (await visitor.now).status is ReaderStatus.UNSUBSCRIBED


async def the_tab(folder: Path) -> str:
    """Where the one tab of a browser is driven, once it is there."""
    told = folder / "DevToolsActivePort"
    while not told.exists() or "\n" not in told.read_text():
        await asyncio.sleep(0.05)
    port = told.read_text().split("\n")[0]
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            tabs = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
            for tab in tabs:
                if tab["type"] == "page" and "/r/" in tab["url"]:
                    return str(tab["webSocketDebuggerUrl"])
            await asyncio.sleep(0.05)
