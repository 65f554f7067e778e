"""Sending by Resend's API to a real HTTP server: the request, and the meaning of each response."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from app.external.client import open_external
from app.mail.resend import ResendSender
from app.mail.sender import InDoubt, NotSent, Sent
from tests.support.scripted_server import ScriptedServer, Step, answer, hang_up, send, stall
from tests.support.smtp_server import QUICK, key_of, mail_to

Start = Callable[..., Awaitable[tuple[ResendSender, ScriptedServer]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a server with these responses, and a sender that calls it."""
    async with AsyncExitStack() as opened:

        async def start(*steps: Step, **options: bool) -> tuple[ResendSender, ScriptedServer]:
            server = ScriptedServer(*steps, **options)
            await server.start()
            opened.push_async_callback(server.stop)
            http = await opened.enter_async_context(open_external())
            return ResendSender(http, "re_123", replace(QUICK, response_timeout=2.0), server.url), server

        yield start


async def test_the_request_is_exact(start: Start) -> None:
    sender, server = await start(answer(200, {"id": "49a3999c"}))
    assert await sender.send(mail_to(), key_of()) == Sent("49a3999c")
    assert server.seen == ["POST /emails"]
    head = server.heads[0].lower()
    assert "authorization: bearer re_123\r\n" in head
    assert f"idempotency-key: {key_of()}\r\n" in head
    sent_body = json.loads(server.bodies[0])
    assert sent_body == {
        "from": "Broadsheet <digest@broadsheet.example>",
        "to": ["Reader 1 <reader1@example.org>"],
        "subject": "Ice remembers",
        "text": "Read this.\n",
        "html": "<p>Read this.</p>\n",
        "headers": {
            "List-Id": "<digest.broadsheet.example>",
            "List-Unsubscribe": "<https://digest.example/r/unsubscribe/abc>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Auto-Submitted": "auto-generated",
        },
    }


async def test_the_same_mail_is_the_same_request(start: Start) -> None:
    sender, server = await start(hang_up, answer(200, {"id": "once"}))
    assert sender.idempotent
    with pytest.raises(InDoubt) as caught:
        await sender.send(mail_to(), key_of())
    assert caught.value.repeatable
    assert await sender.send(mail_to(), key_of()) == Sent("once")
    assert server.bodies[0] == server.bodies[1]


@pytest.mark.parametrize(
    ("status", "body", "transient"),
    [
        (400, {"name": "invalid_idempotency_key"}, False),
        (401, {"name": "missing_api_key"}, True),
        (403, {"name": "invalid_api_key"}, True),
        (422, {"name": "validation_error", "message": "Invalid `to` field"}, False),
        (429, {"name": "rate_limit_exceeded"}, True),
        (404, "<html>Not here</html>", False),
        (301, "", False),
    ],
)
async def test_a_refusal_means_not_sent(start: Start, status: int, body: object, transient: bool) -> None:
    sender, server = await start(answer(status, body, headers="Location: /emails\r\nRetry-After: 7\r\n"))
    with pytest.raises(NotSent, match=str(status)) as caught:
        await sender.send(mail_to(), key_of())
    assert (caught.value.transient, caught.value.retry_after, len(server.seen)) == (transient, 7, 1)


async def test_a_date_in_retry_after_is_obeyed(start: Start) -> None:
    dates = "Date: Tue, 24 Nov 2026 06:00:00 GMT\r\nRetry-After: Tue, 24 Nov 2026 06:01:30 GMT\r\n"
    sender, _ = await start(answer(429, {"name": "rate_limit_exceeded"}, headers=dates))
    with pytest.raises(NotSent) as caught:
        await sender.send(mail_to(), key_of())
    assert (caught.value.transient, caught.value.retry_after) == (True, 90)


@pytest.mark.parametrize(
    ("step", "repeatable"),
    [
        (answer(500, {"name": "application_error"}), True),
        (answer(503, "<html>Bad gateway</html>"), True),
        (answer(409, {"name": "concurrent_idempotent_requests"}), True),
        (answer(409, {"name": "invalid_idempotent_request"}), False),
        (hang_up, True),
        (stall, True),
        (send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", close=True), True),
        (send(b"SSH-2.0-OpenSSH\r\n", close=True), True),
    ],
)
async def test_an_unclear_response_means_in_doubt(start: Start, step: Step, repeatable: bool) -> None:
    sender, _ = await start(step)
    with pytest.raises(InDoubt) as caught:
        await sender.send(mail_to(), key_of())
    assert caught.value.repeatable is repeatable
    assert "re_123" not in str(caught.value)


@pytest.mark.parametrize("body", ["[]", "null", "{}", '{"id": 7}', "<html>", "[" * 50_000, '"' + "x" * 100_000 + '"'])
async def test_a_success_without_an_id_is_a_success(start: Start, body: str) -> None:
    sender, _ = await start(answer(200, body))
    assert await sender.send(mail_to(), key_of()) == Sent(None)


async def test_a_refused_connection_means_not_sent() -> None:
    async with open_external() as http:
        with pytest.raises(NotSent, match="cannot be reached") as caught:
            await ResendSender(http, "re_123", QUICK, "http://127.0.0.1:1").send(mail_to(), key_of())
    assert caught.value.transient


async def test_a_cancelled_request_still_reports_its_outcome(start: Start) -> None:
    out, go_on = asyncio.Event(), asyncio.Event()

    async def wait(writer: asyncio.StreamWriter) -> None:
        out.set()
        await go_on.wait()
        await answer(200, {"id": "sent"})(writer)

    sender, _ = await start(wait)
    sending = asyncio.create_task(sender.send(mail_to(), key_of()))
    await out.wait()
    sending.cancel()
    go_on.set()
    assert await sending == Sent("sent")
