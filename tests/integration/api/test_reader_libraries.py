"""`/v1/readers/{id}/library`: a key is checked at Zotero, stored, and never shown."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from aiohttp import web

from app.config import ApiSettings
from embedded.stack import Ready
from tests.support.applications import application
from tests.support.fake_zotero import GROUP, KEY, USER, FakeZotero
from tests.support.logs import development_logs
from tests.support.running_api import KEY as API_KEY

UNKNOWN = "K" * 24
STORED = "select library_key from public.readers_private where library_key is not null"


@dataclass
class Libraries:
    """The API beside a Zotero, and a reader."""

    http: httpx.AsyncClient
    zotero: FakeZotero
    path: str

    async def put(self, **body: Any) -> httpx.Response:
        return await self.http.put(self.path, json=body)


@pytest.fixture
async def api(stack: Ready, database_reset: None) -> AsyncIterator[Libraries]:  # noqa: ARG001  (run first)
    async with FakeZotero().serve() as zotero:
        values = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": API_KEY}
        settings = ApiSettings.model_validate(values | {"zotero_base_url": zotero.url, "log_level": "DEBUG"})
        with application(settings) as app, development_logs(settings):
            async with app.router.lifespan_context(app):
                transport = httpx.ASGITransport(app, raise_app_exceptions=False)
                headers = {"X-API-Key": API_KEY}
                async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as http:
                    reader = (await http.post("/v1/readers", json={"name": "Ada"})).json()["reader_id"]
                    yield Libraries(http, zotero, f"/v1/readers/{reader}/library")


async def test_a_connected_library_is_described_without_its_key(
    capsys: pytest.CaptureFixture[str], api: Libraries, database: asyncpg.Connection
) -> None:
    answers = [await api.put(id=USER, key=KEY, collections=["Thesis/**"]), await api.http.get(api.path)]
    for answer in answers:
        library = answer.json()
        assert answer.status_code == 200
        assert (library["id"], library["collections"], library["papers"]) == (USER, ["Thesis/**"], 0)
        assert (library["synced_at"], library["problem"]) == (None, None)
    reader = await api.http.get(api.path.removesuffix("/library"))
    printed = "".join(capsys.readouterr())
    assert "PUT" in printed
    assert KEY not in printed + reader.text + "".join(answer.text for answer in answers)
    assert await database.fetchval(STORED) == KEY
    assert api.zotero.paths == ["/keys/current", "items/top"]


async def test_collections_change_without_the_key(api: Libraries) -> None:
    await api.put(id=USER, key=KEY)
    changed = await api.put(id=USER, collections=["Ice"])
    assert (changed.status_code, changed.json()["collections"]) == (200, ["Ice"])
    other = await api.put(id=GROUP)
    assert (other.status_code, other.json()["title"]) == (422, "Key of the library missing")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"id": USER, "key": UNKNOWN}, "Zotero refuses the key"),
    "another user": ({"id": "users/1", "key": KEY}, "Zotero refuses the key"),
    "no access to the group": ({"id": GROUP, "key": KEY}, "Zotero refuses the key"),
    "no key": ({"id": USER}, "Key of the library missing"),
    "no key of Zotero": ({"id": USER, "key": f"{KEY}\r\nX: 1"}, "Invalid request"),
    "no library": ({"id": "users/../keys", "key": KEY}, "Invalid request"),
    "too many patterns": ({"id": USER, "key": KEY, "collections": ["a"] * 21}, "Invalid request"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_library_that_cannot_be_read_is_refused(
    name: str, capsys: pytest.CaptureFixture[str], api: Libraries, database: asyncpg.Connection
) -> None:
    body, title = REFUSED[name]
    answer = await api.put(**body)
    assert (answer.status_code, answer.json()["title"]) == (422, title)
    shown = answer.text + "".join(capsys.readouterr())
    assert (KEY in shown, UNKNOWN in shown) == (False, False)
    assert (await api.http.get(api.path)).status_code == 404
    assert await database.fetchval(STORED) is None


async def test_a_key_for_all_groups_must_open_this_one(api: Libraries) -> None:
    api.zotero.keys[KEY] = {"groups": {"all": {"library": True}}}
    answer = await api.put(id=GROUP, key=KEY)
    assert (answer.status_code, answer.json()["title"]) == (422, "Zotero refuses the key")
    assert api.zotero.requests[-1].path == f"/{GROUP}/items/top"


@pytest.mark.parametrize(
    ("response", "retry_after", "detail"),
    [
        (
            web.Response(status=500),
            "60",
            r"The key cannot be checked now, so nothing changed \(.*500.*\)\. Try again later\.",
        ),
        (web.Response(text="<html>"), "60", r"The key cannot be checked now, so nothing changed \(.+\)\. Try .*"),
        (web.Response(status=429, headers={"Retry-After": "90"}), "90", r".* nothing changed\. Try again in 90 s\."),
        (web.Response(text="[]"), "60", r"The key cannot be checked now, so nothing changed \(.+\)\. Try .*"),
    ],
    ids=["failure", "no JSON", "busy", "a list"],
)
async def test_nothing_is_stored_while_zotero_is_unavailable(
    response: web.Response, retry_after: str, detail: str, api: Libraries, database: asyncpg.Connection
) -> None:
    api.zotero.failures = [web.Response(status=response.status, text=response.text, headers=response.headers)]
    answer = await api.put(id=USER, key=KEY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, retry_after)
    assert re.fullmatch(detail, answer.json()["detail"])
    assert await database.fetchval(STORED) is None


async def test_keys_cannot_be_tried_one_after_the_other(api: Libraries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.persistence.reader_libraries.CHECK_INTERVAL", timedelta(hours=1))
    assert (await api.put(id=USER, key=UNKNOWN)).status_code == 422
    requests = len(api.zotero.requests)
    limited = await api.put(id=USER, key=KEY)
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["retry-after"]) <= 3600
    assert re.fullmatch(r"Wait \d+ s before you give another key\.", limited.json()["detail"])
    assert len(api.zotero.requests) == requests


async def test_a_redirect_never_gets_the_key(api: Libraries) -> None:
    async with FakeZotero().serve() as other:
        location = {"Location": f"{other.url}/keys/current"}
        api.zotero.failures = [web.Response(status=302, headers=location)]
        assert (await api.put(id=USER, key=KEY)).status_code == 503
        assert other.requests == []


async def test_a_disconnected_library_is_forgotten(api: Libraries, database: asyncpg.Connection) -> None:
    await api.put(id=USER, key=KEY)
    for _ in range(2):
        assert (await api.http.delete(api.path)).status_code == 204
    assert (await api.http.get(api.path)).status_code == 404
    assert await database.fetchval(STORED) is None
