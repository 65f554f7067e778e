"""Errors of pages are pages in a browser, and problem documents for programs and under /v1."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import HTTPException
from supabase import AsyncClient

from app.config import ApiSettings
from app.errors import QuotaExceeded, SupabaseUnavailable
from app.pages.rendering import SECURITY_HEADERS
from embedded.stack import Ready
from tests.support.browser import chromium, faults, hide_error_status, needs_chromium, opened
from tests.support.running_api import KEY, RunningApi
from tests.support.visitors import HOSTILE, Visitor, settings_with_links, visitor_of

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PROBLEM = "application/problem+json"
LARGE = b"x" * 300_000
# Method, path, body and status: each error, of addresses that readers, operators and everybody have.
REFUSED: tuple[tuple[str, str, bytes, int], ...] = (
    ("GET", "/nothing", b"", 404),
    ("GET", "/r/nothing", b"", 404),
    ("GET", "/r/home/x/y/z", b"", 404),
    ("GET", "/ops/nothing", b"", 404),
    ("GET", "/static/nothing.css", b"", 404),
    ("POST", "/", b"", 405),
    ("DELETE", "/r/home/x", b"", 405),
    ("PUT", "/ops", b"", 405),
    ("POST", "{schedule}", LARGE, 413),
    ("POST", "/ops/sign-in", LARGE, 413),
    ("GET", "/broken/invalid?count=0", b"", 422),
    ("GET", "/broken/quota", b"", 429),
    ("GET", "/broken/unforeseen", b"", 500),
    ("GET", "/broken/database", b"", 503),
    ("GET", "/broken/teapot", b"", 418),
)
ERRORS = {
    "quota": QuotaExceeded("Enough.", retry_after=7.1),
    "database": SupabaseUnavailable("10.0.0.1 refused the connection"),
    "unforeseen": LookupError(HOSTILE),
    "teapot": HTTPException(418, HOSTILE),
}


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_links(stack)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async def broken(kind: str, count: int = 1) -> None:  # noqa: ARG001  (the route has it)
        raise ERRORS[kind]

    for prefix in ("/broken", "/v1/broken"):
        api.app.add_api_route(f"{prefix}/{{kind}}", broken)
    async with visitor_of(api, client) as visitor:
        yield visitor


async def refused(visitor: Visitor, method: str, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    path = path.replace("{schedule}", visitor.path("schedule")).replace("count=0", "count=x")
    return await visitor.http.request(method, path, content=body, headers=headers)


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED)
async def test_an_error_is_a_page_in_a_browser(
    visitor: Visitor, method: str, path: str, body: bytes, status: int
) -> None:
    answer = await refused(visitor, method, path, body, BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert '<p class="nameplate">Broadsheet</p>' in answer.text
    assert "<b id=" not in answer.text
    assert "10.0.0.1" not in answer.text


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
async def test_a_program_gets_a_problem_document(visitor: Visitor, accept: str) -> None:
    for method, path, body, status in REFUSED:
        if path in {"/r/home/x/y/z", "/ops/nothing"} or body:
            continue
        answer = await refused(visitor, method, path, body, {"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"], path) == (status, PROBLEM, path)


async def test_the_api_responds_with_problems_even_to_a_browser(visitor: Visitor) -> None:
    paths = {"quota": 429, "database": 503, "unforeseen": 500, "teapot": 418}
    headers = BROWSER | {"X-API-Key": KEY}
    for kind, status in paths.items():
        answer = await visitor.http.get(f"/v1/broken/{kind}", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    for path, key, status in (("/v1/nothing", headers, 404), ("/v1/tasks", BROWSER, 401), ("/metrics", BROWSER, 401)):
        answer = await visitor.http.get(path, headers=key)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)


async def test_an_error_page_keeps_the_headers_of_the_error(visitor: Visitor) -> None:
    assert (await visitor.http.get("/broken/quota", headers=BROWSER)).headers["retry-after"] == "8"
    assert (await visitor.http.get("/broken/database", headers=BROWSER)).headers["retry-after"] == "5"
    assert (await visitor.http.post("/", headers=BROWSER)).headers["allow"] == "GET"


async def test_a_page_behind_a_link_says_when_to_retry(visitor: Visitor, api: RunningApi) -> None:
    async def down(*_: object) -> int:
        raise SupabaseUnavailable("10.0.0.1 refused the connection")

    readers = api.app.state.services.readers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(readers), "link_generation", down)
        answer = await visitor.http.get(visitor.path("schedule"), headers=BROWSER)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Temporary error" in answer.text
    assert "10.0.0.1" not in answer.text


@needs_chromium
async def test_error_pages_fit_every_screen_and_are_accessible(visitor: Visitor) -> None:
    async with chromium() as browser, opened(browser) as page:
        await page.route("**/*", hide_error_status)
        for path in ("/nothing", "/broken/unforeseen"):
            await page.goto(f"{visitor.http.base_url}{path}")
            assert await faults(page) == {}, path
            await page.keyboard.press("Tab")
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.textContent") == "About Broadsheet"
