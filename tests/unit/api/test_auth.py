"""The caller's key is checked first, and the caller is in the request's state and in its log lines."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from structlog.contextvars import get_contextvars

from app.api.auth import Caller, RequireKey, find_caller
from app.config import ApiSettings

ADA, ROOT = "ada-key-0123456789", "root-key-0123456789"


@pytest.fixture
def settings() -> ApiSettings:
    values = {"supabase_url": "http://127.0.0.1:9", "supabase_key": "sb_secret_x", "admins": "root"}
    return ApiSettings.model_validate(values | {"api_keys": f"ada:{ADA},root:{ROOT}"})


class Call:
    """A request to an application behind the check, and its response."""

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        self.caller: Any = "not reached"
        self.logged: Any = None
        self.sent: list[Message] = []

    async def __call__(self, path: str, key: str | None, kind: str = "http", **more: Any) -> None:
        headers = [] if key is None else [(b"x-api-key", key.encode("latin-1"))]
        app = SimpleNamespace(state=SimpleNamespace(settings=self.settings))
        scope = {"type": kind, "path": path, "headers": headers, "app": app, **more}
        await RequireKey(self._application)(scope, self._receive, self._send)

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (receive, send) == (self._receive, self._send)
        self.caller = scope.get("state", {}).get("caller")
        self.logged = get_contextvars().get("caller")

    async def _receive(self) -> Message:
        raise AssertionError("the body must not be read")

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.fixture
def call(settings: ApiSettings) -> Call:
    return Call(settings)


@pytest.mark.parametrize("path", ["/v1", "/v1/tasks", "/metrics", "/metrics/x"])
async def test_the_caller_is_in_the_request_state_and_in_the_log(call: Call, path: str) -> None:
    for key, caller in ((ADA, Caller("ada", admin=False)), (ROOT, Caller("root", admin=True))):
        await call(path, key, state={"other": 1})
        assert (call.caller, call.logged, call.sent) == (caller, caller.name, [])
    assert "caller" not in get_contextvars()


@pytest.mark.parametrize("key", [None, "", ADA[:-1], ADA + "x", f"ada:{ADA}", "\xe4" * 16])
@pytest.mark.parametrize("path", ["/v1/tasks", "/metrics"])
async def test_an_unknown_key_gets_401_and_the_headers_name(call: Call, path: str, key: str | None) -> None:
    await call(path, key)
    start, body = call.sent
    assert (call.caller, start["status"]) == ("not reached", 401)
    headers = dict(start["headers"])
    assert headers[b"www-authenticate"] == b'ApiKey header="X-API-Key"'
    assert headers[b"content-type"] == b"application/problem+json"
    assert json.loads(body["body"]) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "The header X-API-Key is missing or contains no known key.",
        "instance": path,
    }


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1x", "/v", "/metricsx", "/x/v1"])
async def test_open_paths_need_no_key(call: Call, path: str) -> None:
    await call(path, None)
    assert (call.caller, call.logged, call.sent) == (None, None, [])


async def test_a_non_http_scope_passes_through(call: Call) -> None:
    await call("/v1", None, "websocket")
    assert (call.caller, call.sent) == (None, [])


def test_a_caller_sees_its_own_tasks_and_an_admin_sees_all(settings: ApiSettings) -> None:
    ada, root = find_caller(ADA, settings), find_caller(ROOT, settings)
    assert ada is not None
    assert root is not None
    assert (ada.visible_owner, root.visible_owner) == ("ada", None)
    assert find_caller("nobody's", settings) is None
