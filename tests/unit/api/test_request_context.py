"""Each request has an id, a log line and metrics; the id is in the response and in every log line of the request."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.testing import capture_logs

from app.api.auth import Caller
from app.api.middleware import UNLOGGED_PATHS, RequestContext
from app.process.metrics import Metrics

ROUTE = SimpleNamespace(path="/v1/things/{thing}")
SECONDS = 0.0321


def answering(status: int, *, route: Any = ROUTE, caller: Caller | None = None) -> ASGIApp:
    """An application that returns this response and records the route and caller of the request."""

    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["route"] = route
        if caller is not None:
            scope["state"] = {"caller": caller}
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    return application


def failing(*, begun: bool) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await answering(202)(scope, receive, send)
        raise LookupError("nobody foresaw this")

    return application


async def silent() -> Message:
    raise AssertionError("the body must not be read")


class RequestRecord:
    """One request, with the log lines and metrics that it caused."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.sent: list[Message] = []
        self.logs: list[Any] = []

    async def call(self, app: ASGIApp, path: str = "/v1/things/7", **headers: str) -> None:
        async def send(message: Message) -> None:
            self.sent.append(message)

        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "DELETE", "path": path, "headers": raw}
        with capture_logs(processors=[merge_contextvars]) as self.logs:
            await RequestContext(app, self.metrics)(scope, silent, send)

    @property
    def request_id(self) -> str:
        """The request id in the response."""
        (found,) = [value for name, value in self.sent[0]["headers"] if name == b"x-request-id"]
        return str(found.decode())

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def record() -> RequestRecord:
    return RequestRecord()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that advances by `SECONDS` each time it is read."""
    moments = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: 50.0 + next(moments) * SECONDS)


@pytest.mark.parametrize("status", [200, 202, 404, 503])
async def test_a_request_has_a_log_line_with_all_its_fields(record: RequestRecord, status: int) -> None:
    await record.call(answering(status, caller=Caller("ada", admin=False)), x_request_id="one")
    assert record.logs == [
        {
            "event": "request",
            "log_level": "info",
            "request_id": "one",
            "method": "DELETE",
            "route": "/v1/things/{thing}",
            "status": status,
            "ms": 32.1,
            "caller": "ada",
        }
    ]


async def test_the_log_line_of_an_anonymous_request_has_no_caller(record: RequestRecord) -> None:
    await record.call(answering(401, route=None))
    (line,) = record.logs
    assert (line["route"], line["status"], "caller" in line) == ("unknown", 401, False)
    assert record.sample("broadsheet_caller_requests_total", caller="ada", status="401") is None


@pytest.mark.parametrize("path", sorted(UNLOGGED_PATHS))
async def test_probes_are_logged_only_if_they_fail(record: RequestRecord, path: str) -> None:
    for status, lines in ((200, 0), (399, 0), (400, 1), (503, 1)):
        await record.call(answering(status), path)
        assert len(record.logs) == lines, status


def test_the_unlogged_paths_are_probes_and_metrics() -> None:
    assert {"/healthz", "/readyz", "/metrics"} == UNLOGGED_PATHS


async def test_a_request_is_counted_by_method_route_status_and_caller(record: RequestRecord) -> None:
    for status in (200, 200, 404):
        await record.call(answering(status, caller=Caller("ada", admin=True)))
    labels = {"method": "DELETE", "route": "/v1/things/{thing}", "status": "200"}
    assert record.sample("broadsheet_http_request_duration_seconds_count", **labels) == 2
    assert record.sample("broadsheet_http_request_duration_seconds_sum", **labels) == pytest.approx(2 * SECONDS)
    assert record.sample("broadsheet_http_request_duration_seconds_count", **labels | {"status": "404"}) == 1
    assert record.sample("broadsheet_caller_requests_total", caller="ada", status="200") == 2
    assert record.sample("broadsheet_caller_requests_total", caller="ada", status="404") == 1


@pytest.mark.parametrize("given", ["a", "A-z_0.9", "x" * 100])
async def test_a_valid_request_id_of_the_caller_is_kept(record: RequestRecord, given: str) -> None:
    await record.call(answering(200), x_request_id=given)
    assert record.request_id == given == record.logs[0]["request_id"]


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 101, "a\n"], ids=repr)
async def test_an_invalid_request_id_is_replaced(record: RequestRecord, given: str | None) -> None:
    ids = []
    for _ in range(2):
        await record.call(answering(200), **({} if given is None else {"x_request_id": given}))
        ids.append(record.request_id)
        assert record.logs[0]["request_id"] == ids[-1]
        record.sent.clear()
    assert len({*ids, given}) == 3
    assert all(len(each) == 36 for each in ids)


async def test_only_lines_logged_during_a_request_have_its_id(record: RequestRecord) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        structlog.get_logger().warning("meanwhile")
        await answering(200)(scope, receive, send)

    await record.call(application, x_request_id="one")
    assert [(line["event"], line["request_id"]) for line in record.logs] == [("meanwhile", "one"), ("request", "one")]
    assert "request_id" not in get_contextvars()


async def test_an_unexpected_error_gets_a_response_a_log_and_a_count(record: RequestRecord) -> None:
    await record.call(failing(begun=False), x_request_id="one")
    start, body = record.sent
    assert (start["status"], record.request_id) == (500, "one")
    assert b"nobody foresaw" not in body["body"]
    error, line = record.logs
    assert (error["log_level"], error["request_id"], error["route"]) == ("error", "one", "unknown")
    assert isinstance(error["exc_info"], LookupError)
    assert (line["status"], line["request_id"]) == (500, "one")
    labels = {"method": "DELETE", "route": "unknown", "status": "500"}
    assert record.sample("broadsheet_http_request_duration_seconds_count", **labels) == 1


async def test_an_error_after_the_response_began_is_logged_with_status(record: RequestRecord) -> None:
    with pytest.raises(LookupError):
        await record.call(failing(begun=True))
    assert [message["type"] for message in record.sent] == ["http.response.start", "http.response.body"]
    assert [(line["event"], line["status"]) for line in record.logs] == [("request", 202)]


async def test_a_non_http_scope_passes_through(record: RequestRecord) -> None:
    passed: list[tuple[Scope, Receive, Send]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append((scope, receive, send))

    async def send(_message: Message) -> None:
        raise AssertionError("no message is expected")

    scope = {"type": "lifespan"}
    with capture_logs() as logs:
        await RequestContext(application, record.metrics)(scope, silent, send)
    assert passed == [(scope, silent, send)]
    assert logs == []
