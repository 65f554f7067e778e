"""The confirmation of an address over HTTP and on a real database, and callers' readers that must confirm."""

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.config import ApiSettings
from app.persistence.readers import Reader, Readers, ReaderStatus
from embedded.stack import Ready
from tests.support.confirmations import a_day_passes, send_next, signed_up, unconfirmed
from tests.support.running_api import KEY, RunningApi
from tests.support.visitors import HOSTILE, PURPOSES, SECRET, TODAY, Visitor, readers_of

CALLER = {"X-API-Key": KEY}
NEW = {"external_id": "ada", "name": "Ada", "email": "ada@example.org", "confirm": True, "welcome": True}
LINKS = {"public_url": "http://digest.example", "link_secret": SECRET}


@pytest.fixture
def links() -> dict[str, str]:
    return LINKS


@pytest.fixture
def settings(
    stack: Ready,
    links: dict[str, str],
    database_reset: None,  # noqa: ARG001  (run first)
) -> ApiSettings:
    values = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": KEY}
    return ApiSettings.model_validate(values | links)


@pytest.fixture
async def http(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=60) as http:
        yield http


@pytest.fixture
async def visitor(http: httpx.AsyncClient, client: AsyncClient) -> Visitor:
    """The owner of an address that a stranger entered."""
    profile = {"interests": [f"secret {HOSTILE}"]}
    reader = await unconfirmed(client, name=f"Ada {HOSTILE}", email="ada@example.org", profile=profile)
    return Visitor(http, Readers(client), reader)


async def test_opening_the_link_confirms_nothing(visitor: Visitor, database: asyncpg.Connection) -> None:
    before = await readers_of(database)
    path = visitor.path("confirm")
    for headers in ({}, {"Purpose": "prefetch"}, {"Sec-Purpose": "prefetch;prerender"}, {"User-Agent": "Scanner/1"}):
        for method in ("GET", "HEAD", "OPTIONS", "PUT"):
            await visitor.http.request(method, path, headers=headers)
    page = await visitor.get("confirm")
    assert (page.status_code, len(re.findall("<button", page.text))) == (200, 1)
    assert '<form method="post">' in page.text
    assert "<script" not in page.text
    assert await readers_of(database) == before


async def test_the_button_confirms_however_often_it_is_pressed(visitor: Visitor) -> None:
    for _ in range(2):
        page = await visitor.post("confirm")
        assert (page.status_code, "Your address is confirmed" in page.text) == (200, True)
        assert "set-cookie" not in page.headers
    now = await visitor.now
    assert now.status is ReaderStatus.ACTIVE
    assert now.next_due_at is not None
    shown = (await visitor.get("confirm")).text
    assert "Your address is confirmed" in shown
    assert "<button" not in shown


@pytest.mark.parametrize("status", [ReaderStatus.PAUSED, ReaderStatus.UNSUBSCRIBED, ReaderStatus.BOUNCED])
async def test_a_used_link_does_not_subscribe_again(status: ReaderStatus, visitor: Visitor) -> None:
    await visitor.post("confirm")
    await visitor.readers.change(visitor.reader.reader_id, {"status": status})
    for page in (await visitor.get("confirm"), await visitor.post("confirm")):
        assert (page.status_code, "This link was used already" in page.text) == (200, True)
    assert (await visitor.now).status is status


async def test_a_forwarded_link_shows_and_opens_nothing_else(visitor: Visitor) -> None:
    texts = [(await visitor.get("confirm")).text, (await visitor.post("confirm")).text]
    for text in texts:
        for hidden in ("secret", "Ada", "ada@", str(visitor.reader.reader_id), 'href="/r/'):
            assert hidden not in text
    for purpose in (*PURPOSES, "home", "page", "feed"):
        answer = await visitor.http.get(visitor.path(purpose, signed_for="confirm"))
        assert answer.status_code == 404, purpose


@pytest.mark.parametrize("purpose", [*PURPOSES, "home"])
async def test_another_link_of_the_reader_confirms_nothing(purpose: str, visitor: Visitor) -> None:
    answer = await visitor.http.post(visitor.path("confirm", signed_for=purpose))
    assert (answer.status_code, "This link does not work" in answer.text) == (404, True)
    assert (await visitor.now).status is ReaderStatus.UNCONFIRMED


@pytest.mark.parametrize(
    "change",
    [
        {"day": TODAY - timedelta(days=8)},
        {"day": None},
        {"generation": 2},
        {"secret": "x" * 32},
    ],
    ids=["a week old", "without a day", "revoked", "another secret"],
)
async def test_an_invalid_link_confirms_nothing(change: dict[str, Any], visitor: Visitor) -> None:
    for name, value in change.items():
        setattr(visitor, name, value)
    for answer in (await visitor.get("confirm"), await visitor.post("confirm")):
        assert (answer.status_code, "This link does not work" in answer.text) == (404, True)
    assert (await visitor.now).status is ReaderStatus.UNCONFIRMED


async def test_a_removed_readers_link_confirms_nothing(visitor: Visitor) -> None:
    await visitor.readers.remove(visitor.reader.reader_id)
    assert (await visitor.post("confirm")).status_code == 404


async def test_a_second_sign_up_of_a_reader_changes_nothing(
    http: httpx.AsyncClient, client: AsyncClient, database: asyncpg.Connection
) -> None:
    first = Visitor(http, Readers(client), await signed_up(client, "ada@example.org"))
    await send_next(client)
    await a_day_passes(database)
    second = Visitor(http, Readers(client), await signed_up(client, "ada@example.org"))
    assert "is confirmed" in (await first.post("confirm")).text
    assert "nothing was changed" in (await second.post("confirm")).text
    assert [(await each.now).status.value for each in (first, second)] == ["active", "unconfirmed"]


async def test_a_caller_creates_a_reader_that_must_confirm(
    http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    made = await http.post("/v1/readers", json=NEW, headers=CALLER)
    assert (made.status_code, made.json()["status"]) == (201, "unconfirmed")
    assert await database.fetch("select kind, status from public.deliveries") == [("confirmation", "pending")]
    path = f"/v1/readers/{made.json()['reader_id']}"
    refused = await http.patch(path, json={"status": "active"}, headers=CALLER)
    assert (refused.status_code, "is unconfirmed" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(("links", "changes", "expected"), [
    (LINKS, {"email": None}, "confirm needs an email"),
    ({"link_secret": SECRET}, {}, "set PUBLIC_URL and LINK_SECRET"),
    ({"public_url": "http://digest.example"}, {}, "set PUBLIC_URL and LINK_SECRET"),
    ({}, {"confirm": False, "status": "unconfirmed"}, "set PUBLIC_URL and LINK_SECRET"),
])  # fmt: skip
async def test_a_confirmation_that_cannot_be_sent_is_refused(
    links: dict[str, str],
    changes: dict[str, Any],
    expected: str,
    http: httpx.AsyncClient,
    database: asyncpg.Connection,
) -> None:
    assert isinstance(links, dict)
    refused = await http.post("/v1/readers", json=NEW | changes, headers=CALLER)
    assert (refused.status_code, expected in refused.text) == (422, True), refused.text
    line = await http.post("/v1/readers/import", content=json.dumps(NEW | changes), headers=CALLER)
    assert (line.status_code, expected in line.text) == (200, True), line.text
    assert await database.fetchval("select count(*) from public.readers") == 0


async def test_an_exported_unconfirmed_reader_can_be_imported(
    http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    made = (await http.post("/v1/readers", json=NEW, headers=CALLER)).json()
    lines = (await http.get("/v1/readers/export", headers=CALLER)).text
    await http.delete(f"/v1/readers/{made['reader_id']}", headers=CALLER)
    report = (await http.post("/v1/readers/import", content=lines, headers=CALLER)).json()
    assert (report["created"], report["refused"]) == (1, [])
    assert await database.fetch("select status from public.readers") == [("unconfirmed",)]
    assert await database.fetch("select kind, status from public.deliveries") == [("confirmation", "pending")]


async def test_a_caller_can_request_another_confirmation(
    http: httpx.AsyncClient, client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader: Reader = await unconfirmed(client)
    path = f"/v1/readers/{reader.reader_id}/resend-confirmation"
    assert (await http.post(path, headers=CALLER)).status_code == 204
    await send_next(client)
    limited = await http.post(path, headers=CALLER)
    assert (limited.status_code, 86_000 < int(limited.headers["retry-after"]) <= 86_400) == (429, True)
    await a_day_passes(database)
    assert (await http.post(path, headers=CALLER)).status_code == 204
    assert await database.fetchval("select count(*) from public.deliveries") == 2
    other = await unconfirmed(client, email="bob@example.org", confirm=False)
    answer = await http.post(f"/v1/readers/{other.reader_id}/resend-confirmation", headers=CALLER)
    assert (answer.status_code, "The reader is active" in answer.text) == (409, True)
