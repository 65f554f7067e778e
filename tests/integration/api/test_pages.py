"""The pages' frame: the front page's links, cached static files, escaped text, and the script that follows events."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from app.api.waiting import task_events
from app.config import ApiSettings
from app.pages.rendering import SECURITY_HEADERS, PageRenderer
from app.pages.static_files import StaticFiles
from embedded.stack import Ready
from tests.support.browser import chromium, faults, needs_chromium, opened
from tests.support.running_api import KEY, RunningApi


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return ApiSettings.model_validate({"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": KEY})


@pytest.fixture
async def http(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=30) as http:
        yield http


async def test_the_front_page_links_to_existing_pages(http: httpx.AsyncClient) -> None:
    page = await http.get("/")
    assert page.status_code == 200
    links = re.findall(r'(?:href|src)="([^"#]+)"', page.text)
    assert {"/docs", "/openapi.json", "/healthz", "/readyz", "/ops", "/ops/sign-in"} <= set(links)
    assert {link: (await http.get(link, follow_redirects=True)).status_code for link in links} == dict.fromkeys(
        links, 200
    )
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<style|style=|<script>| on\w+=|https?:", page.text)


async def test_static_files_are_cached_by_content_hash(http: httpx.AsyncClient) -> None:
    for name, kind in (("broadsheet.css", "text/css"), ("live.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
        answer = await http.get(StaticFiles().path(name))
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
    for wrong in ("broadsheet.css", "broadsheet.0000000000000000.css", "..%2Ffront.py", "%2e%2e/front.py"):
        assert (await http.get(f"/static/{wrong}")).status_code == 404


def test_text_on_pages_is_escaped() -> None:
    hostile = "<script>alert(1)</script>\" onload='x'"
    body = bytes(PageRenderer(StaticFiles()).page("landing.html.j2", version=hostile, sign_up=True).body).decode()
    assert "<script" not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34; onload=&#39;x&#39;" in body


@needs_chromium
async def test_the_front_page_fits_every_screen_and_is_accessible(http: httpx.AsyncClient) -> None:
    async with chromium() as browser, opened(browser) as page:
        await page.goto(str(http.base_url))
        assert await faults(page) == {}


@needs_chromium
async def test_a_page_follows_a_task_to_its_end_in_a_browser(api: RunningApi, http: httpx.AsyncClient) -> None:
    loads = asyncio.Queue[str]()
    posted = await http.post("/v1/fetches", json={"source_date": "2026-01-02"}, headers={"X-API-Key": KEY})
    task_id = UUID(posted.json()["task_id"])

    async def page() -> HTMLResponse:
        await loads.put("page")
        body = (
            f'<script defer src="{StaticFiles().path("live.js")}"></script><p data-events="/watched" data-reload></p>'
        )
        return HTMLResponse(body, headers=SECURITY_HEADERS)

    async def watched(request: Request) -> Response:
        task = await request.app.state.services.tasks.get_task(task_id)
        return task_events(request.app.state.hub, task, None)

    api.app.add_api_route("/watching", page)
    api.app.add_api_route("/watched", watched)
    async with chromium() as browser, asyncio.timeout(60):
        tab = await browser.new_page()
        await tab.goto(f"http://127.0.0.1:{api.port}/watching")
        await loads.get()
        while not api.app.state.hub.watchers:
            await asyncio.sleep(0.05)
        await http.post(f"{posted.headers['location']}/cancel", headers={"X-API-Key": KEY})
        await loads.get()  # the task ended, and the page was loaded again
