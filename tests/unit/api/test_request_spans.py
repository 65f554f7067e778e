"""Each request to the API has a span, with the route's template and never the path."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware import UNLOGGED_PATHS
from app.api.request_spans import RequestSpans
from app.main import create_app
from app.tracing.current import active_spans
from tests.support.spans import Recorded, recorded_spans

TOKEN = "secret-token"


def answering(status: int | None, *, route: bool = True, error: Exception | None = None) -> ASGIApp:
    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        if route:
            scope["route"] = SimpleNamespace(path="/r/home/{token}")
        if status is not None:
            await send({"type": "http.response.start", "status": status, "headers": []})
        if error is not None:
            raise error

    return application


async def call(app: ASGIApp, path: str = f"/r/home/{TOKEN}", method: str = "POST") -> Recorded:
    async def send(_message: Message) -> None: ...

    async def receive() -> Message:
        raise AssertionError("the body must not be read")

    scope = {"type": "http", "method": method, "path": path, "headers": [], "scheme": "https", "query_string": b"q=1"}
    with recorded_spans() as recorded:
        spans = active_spans()
        assert spans is not None
        with suppress(LookupError):
            await RequestSpans(app, spans)(scope, receive, send)
    return recorded


async def test_a_request_has_its_route_and_status() -> None:
    span = (await call(answering(303))).one("POST /r/home/{token}")
    assert (span.kind, span.error) == ("SERVER", False)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/r/home/{token}",
        "url.scheme": "https",
        "http.response.status_code": 303,
    }


async def test_an_unknown_path_has_no_route() -> None:
    span = (await call(answering(404, route=False))).one("POST")
    assert "http.route" not in span.attributes
    assert not span.error, "the caller's error is not the server's"


async def test_a_server_error_is_an_error() -> None:
    span = (await call(answering(503))).one("POST /r/home/{token}")
    assert (span.error, span.attributes["error.type"]) == (True, "503")


async def test_an_exception_is_an_error_with_its_type() -> None:
    span = (await call(answering(200, error=LookupError(TOKEN)))).one("POST /r/home/{token}")
    assert span.attributes["error.type"] == "LookupError"
    assert TOKEN not in str(span)


async def test_an_invented_method_is_not_recorded() -> None:
    assert (await call(answering(405, route=False), method="SECRET")).one("_OTHER").kind == "SERVER"


@pytest.mark.parametrize("path", sorted(UNLOGGED_PATHS))
async def test_monitoring_requests_have_no_span(path: str) -> None:
    assert (await call(answering(200), path)).spans == []


def test_only_a_process_with_traces_has_the_middleware() -> None:
    assert "RequestSpans" not in [getattr(each.cls, "__name__", "") for each in create_app().user_middleware]
    with recorded_spans():
        first, *_ = create_app().user_middleware
    assert getattr(first.cls, "__name__", "") == "RequestSpans", "it must be around all others"
