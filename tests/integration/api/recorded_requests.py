"""The API with a scripted Supabase: the API's requests to it, and the API's response."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx

from app.config import ApiSettings
from tests.support.applications import application
from tests.support.operators import ADA_KEY, KEYS, ROOT_KEY
from tests.support.processes import WEBHOOK_SECRET
from tests.support.scripted_server import ScriptedServer, answer

KEY_OF = {"ada": ADA_KEY, "root": ROOT_KEY}
AN_ID = "some id"
"""Replaces an id that is generated for each request."""

RecordedCall = tuple[str, dict[str, Any]]


@asynccontextmanager
async def api_before(*answers: Any) -> AsyncIterator[tuple[httpx.AsyncClient, ScriptedServer]]:
    """The API, whose admin is root, and a Supabase with these responses in order."""
    server = ScriptedServer(*(each if callable(each) else answer(200, each) for each in answers))
    await server.start()
    values = {"supabase_url": server.url, "supabase_key": "sb_secret_x", "supabase_retries": 0}
    settings = ApiSettings.model_validate(
        values | {"api_keys": KEYS, "admins": "root", "daily_digests": 7, "webhook_secret": WEBHOOK_SECRET}
    )
    with application(settings) as app:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api", timeout=60) as http:
                yield http, server
    await server.stop()


def recorded_calls(server: ScriptedServer) -> list[RecordedCall]:
    """The functions that were called and the tables that were read or changed, with the arguments."""
    return [_recorded_call(line, body) for line, body in zip(server.seen, server.bodies, strict=True)]


def _recorded_call(line: str, body: bytes) -> RecordedCall:
    method, _, target = line.partition(" ")
    url = urlsplit(target)
    name = url.path.removeprefix("/rest/v1/")
    sent = json.loads(body) if body else {}
    if name.startswith("rpc/"):
        return name.removeprefix("rpc/"), {key: _known(key, value) for key, value in sent.items()}
    query = {key: value for key, value in parse_qsl(url.query) if key not in {"select", "columns"}}
    return f"{method} {name}", query | sent


def _known(name: str, value: Any) -> Any:
    return AN_ID if name == "p_audit_id" and UUID(value).version in {4, 5} else value


@dataclass(frozen=True)
class Request:
    """A caller's request, the responses of Supabase and the expected requests to it; `sent` is the request's body."""

    caller: str
    line: str
    answers: Sequence[Any]
    requests: Sequence[RecordedCall]
    response: Any = None
    """The response's body; None: it is empty, or another test checks it."""
    sent: Any = None
    status: int = 200

    def __str__(self) -> str:
        return f"{self.caller}: {self.line}"


async def check(request: Request) -> None:
    """Send it. Raises `AssertionError` if the requests to Supabase or the response differ."""
    method, _, path = request.line.partition(" ")
    async with api_before(*request.answers) as (http, server):
        answer = await http.request(method, path, json=request.sent, headers=headers_of(request.caller))
    assert answer.status_code == request.status, answer.text
    assert recorded_calls(server) == list(request.requests)
    if request.response is not None:
        assert answer.json() == request.response


def headers_of(caller: str) -> dict[str, str]:
    return {"X-API-Key": KEY_OF[caller]}
