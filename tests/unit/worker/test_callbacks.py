"""Callbacks: valid signatures, no private addresses or redirects, and the outcome of each failure."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import respx
from standardwebhooks import Webhook, WebhookVerificationError

from app.errors import PermanentError
from app.external.callback_sender import CallbackSender, DeliveryFailed
from app.external.client import ExternalClient, open_external
from app.models.tasks import TaskKind
from app.persistence.outcomes import Lease
from app.persistence.queue import ClaimedTask
from worker.handlers.callback import SCHEDULE, CallbackHandler, callback_retry_delay
from worker.job import Job

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT_SECRET = "whsec_Q0hBTkdFRCBXSVRIT1VUIEEgUEFVU0U="
OTHER_SECRET = "whsec_U09NRUJPRFkgRUxTRSdTIFNFQ1JFVCE="
PUBLIC = "93.184.215.14"
URL = "https://receiver.example/hooks?x=1"
TASK = UUID(int=7)
BODY = {"task_id": "7f", "status": "completed"}


@pytest.fixture
def router() -> respx.Router:
    return respx.Router()


@pytest.fixture
async def http(router: respx.Router) -> AsyncIterator[ExternalClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler), follow_redirects=True) as client:
        yield ExternalClient(client)


def sender(http: ExternalClient, *, private: bool = False) -> CallbackSender:
    return CallbackSender(http, [Webhook(SECRET), Webhook(NEXT_SECRET)], private=private)


async def test_a_delivery_is_signed_and_needs_a_public_address(http: ExternalClient, router: respx.Router) -> None:
    route = router.post(URL).respond(204)
    assert await sender(http).send(URL, "cb_1", BODY) == 204
    request = route.calls.last.request
    assert request.extensions["public_only"] is True
    assert request.headers["webhook-id"] == "cb_1"
    for secret in (SECRET, NEXT_SECRET):
        assert Webhook(secret).verify(request.content, dict(request.headers)) == BODY
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER_SECRET).verify(request.content, dict(request.headers))


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 429, 500, 503])
async def test_other_statuses_are_retried_and_redirects_not_followed(
    status: int, http: ExternalClient, router: respx.Router
) -> None:
    route = router.post().respond(status, headers={"location": "https://elsewhere.example/"})
    with pytest.raises(DeliveryFailed, match=str(status)):
        await sender(http).send(URL, "cb_1", BODY)
    assert route.call_count == 1


async def test_status_410_is_final(http: ExternalClient, router: respx.Router) -> None:
    router.post().respond(410)
    with pytest.raises(PermanentError, match="410 Gone"):
        await sender(http).send(URL, "cb_1", BODY)


async def test_an_unreachable_receiver_is_retried(http: ExternalClient, router: respx.Router) -> None:
    router.post().mock(side_effect=httpx.ConnectError("refused"))
    with pytest.raises(DeliveryFailed, match="ConnectError"):
        await sender(http).send(URL, "cb_1", BODY)


class Endless(httpx.AsyncByteStream):
    """A body that must not be read."""

    def __init__(self) -> None:
        self.read = self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.read = True
        yield b""

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("status", [200, 410, 500])
async def test_the_receivers_response_body_is_not_read(status: int, http: ExternalClient, router: respx.Router) -> None:
    body = Endless()
    router.post(URL).mock(return_value=httpx.Response(status, stream=body))
    with nullcontext() if status == 200 else pytest.raises((DeliveryFailed, PermanentError)):
        await sender(http).send(URL, "cb_1", BODY)
    assert (body.read, body.closed) == (False, True)


async def test_a_receiver_that_times_out_is_retried(
    http: ExternalClient, router: respx.Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("never")

    monkeypatch.setattr("app.external.callback_sender.DELIVERY_TIMEOUT", 0.01)
    router.post(URL).mock(side_effect=hang)
    with pytest.raises(DeliveryFailed, match=r"^receiver\.example: TimeoutError: $") as failed:
        await sender(http).send(URL, "cb_1", BODY)
    assert failed.value.retry_after is None


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("10.0.0.5",), (PUBLIC, "169.254.169.254"), ("::1",)])
async def test_private_addresses_are_refused_after_dns(addresses: tuple[str, ...]) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    async with open_external(resolve=resolve) as http:
        with pytest.raises(PermanentError, match="not public"):
            await sender(http).send(URL, "cb_1", BODY)


@pytest.mark.parametrize(
    "url",
    [
        "https://[::1", "https://", "https://\x00.example/?key=s3cret", "nonsense?key=s3cret", "ftp://a.example/?s3cret",
        "http://a.example/?key=s3cret", f"https://{'x' * 64}.example/?key=s3cret", "https://a.example:99999/?s3cret",
        f"https://a.example/?key=s3cret{'x' * 100_000}",
    ],
)  # fmt: skip
async def test_an_uncallable_url_is_named_without_its_query(url: str) -> None:
    async with open_external() as http:
        with pytest.raises((PermanentError, DeliveryFailed)) as refused:
            await sender(http).send(url, "cb_1", BODY)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("status", [301, 400, 410, 429, 500])
async def test_a_refusal_names_only_the_host(status: int, http: ExternalClient, router: respx.Router) -> None:
    router.post().respond(status)
    with pytest.raises((PermanentError, DeliveryFailed)) as refused:
        await sender(http).send("https://receiver.example/hooks/s3cret?key=s3cret", "cb_1", BODY)
    assert "receiver.example" in str(refused.value)
    assert not {"s3cret"} & set(str(refused.value).replace("/", " ").replace("=", " ").split())


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "900"}, 900.0),
        ({"retry-after": "Tue, 04 Mar 2025 07:05:00 GMT", "date": "Tue, 04 Mar 2025 07:00:00 GMT"}, 300.0),
        ({"retry-after": "31536000"}, 86_400.0),
        ({}, None),
    ],
)
async def test_expectedof_the_receiver_is_read(
    headers: dict[str, str], expected: float | None, http: ExternalClient, router: respx.Router
) -> None:
    router.post().respond(503, headers=headers)
    with pytest.raises(DeliveryFailed) as failed:
        await sender(http).send(URL, "cb_1", BODY)
    assert failed.value.retry_after == expected


def test_retries_span_more_than_a_day_with_jitter() -> None:
    random, failed = Random(5), DeliveryFailed("down")
    runs = [[callback_retry_delay(attempt, failed, random) for attempt in range(1, 10)] for _ in range(50)]
    assert all(sum(delays, timedelta()) >= timedelta(hours=24) for delays in runs)
    for number, planned in enumerate(SCHEDULE):
        seen = {run[number] for run in runs}
        assert len(seen) == 50
        assert all(0.8 * planned <= delay <= 1.2 * planned for delay in seen)


@pytest.mark.parametrize(
    ("attempt", "minutes"),
    [(1, 1 / 12), (2, 5), (3, 30), (4, 120), (5, 300), (6, 600), (7, 840), (8, 1200), (9, 1440), (10, 1440)],
)
def test_each_attempt_has_its_delay(attempt: int, minutes: float) -> None:
    delay = callback_retry_delay(attempt, DeliveryFailed("down"), Middle())
    assert delay / timedelta(minutes=1) == pytest.approx(minutes)


class Middle(Random):
    """A random generator that returns the middle."""

    def random(self) -> float:
        return 0.5


def test_the_next_attempt_respects_retry_after() -> None:
    error = DeliveryFailed("busy", retry_after=7_200.0)
    assert callback_retry_delay(1, error, Random(5)) == timedelta(hours=2)
    assert callback_retry_delay(9, error, Random(5)) >= 0.8 * SCHEDULE[-1], "less would use up the attempts"
    assert callback_retry_delay(1, RuntimeError("a fault of ours"), Random(5)) < timedelta(seconds=7)


def job(payload: dict[str, Any]) -> Job:
    task = ClaimedTask(Lease(TASK, uuid4()), TaskKind.CALLBACK, 1, 10, timedelta(0), None, payload)
    return Job(task, 0.0, lambda *_: None)


async def test_a_callback_sends_its_event_and_stores_the_status(http: ExternalClient, router: respx.Router) -> None:
    route = router.post(URL).respond(202)
    event = {"type": "task.completed", "data": {"title": "Gletscher \u00e4ndern sich", "items": [1, 2]}}
    assert await CallbackHandler(sender(http))(job({"url": URL, "event": event})) == {"status": 202}
    request = route.calls.last.request
    assert request.content == (
        b'{"type":"task.completed","data":{"title":"Gletscher \\u00e4ndern sich","items":[1,2]}}'
    )
    assert request.headers["webhook-id"] == f"msg_{TASK}"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"event": {}}, "('url',): Field required"),
        ({"url": URL}, "('event',): Field required"),
        ({"url": URL, "event": "s3cret"}, "('event',): Input should be a valid dictionary"),
        ({"url": ["s3cret"], "event": {}}, "('url',): Input should be a valid string"),
    ],
)
async def test_an_unreadable_payload_is_reported_without_its_content(
    payload: dict[str, Any], reason: str, http: ExternalClient
) -> None:
    with pytest.raises(PermanentError) as refused:
        await CallbackHandler(sender(http))(job(payload))
    assert str(refused.value) == f"the callback's payload cannot be read: {reason}"


async def test_without_a_secret_the_error_names_the_setting() -> None:
    with pytest.raises(PermanentError, match=r"^callbacks cannot be signed: set WEBHOOK_SECRET for the worker$"):
        await CallbackHandler(None)(job({"url": URL, "event": {}}))


async def test_plain_http_needs_the_setting(http: ExternalClient, router: respx.Router) -> None:
    route = router.post("http://localhost:8080/hook").respond(200)
    with pytest.raises(PermanentError, match="not https"):
        await sender(http).send("http://localhost:8080/hook", "cb_1", BODY)
    await sender(http, private=True).send("http://localhost:8080/hook", "cb_1", BODY)
    assert json.loads(route.calls.last.request.content) == BODY
