"""Each path has an exact limit for request bodies, however a body is sent."""

import pytest
from fastapi import HTTPException
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware import BodyLimit

ID = "0193f2b0-0000-7000-8000-00000000000a"
LIMITS = {
    "/v1/digests": 256_000,
    "/v1/digests/batch": 2_000_000,
    "/v1/readers": 256_000,
    "/v1/readers/import": 20_000_000,
    f"/v1/readers/{ID}/papers": 2_000_000,
    f"/v1/readers/{'x' * 100}/papers": 2_000_000,
    f"/v1/readers/{'x' * 101}/papers": 256_000,
    f"/v1/readers/{ID}/papers/": 256_000,
    f"/v1/readers/{ID}/{ID}/papers": 256_000,
    f"/v2/v1/readers/{ID}/papers": 256_000,
    "/hooks/mail": 256_000,
}


async def read(path: str, *pieces: int, announced: str | None = None) -> int:
    """Return how many bytes of a chunked body an application reads. Raises `HTTPException`."""
    sizes, total = list(pieces), 0

    async def receive() -> Message:
        size = sizes.pop(0)
        return {"type": "http.request", "body": b" " * size, "more_body": bool(sizes)}

    async def application(_scope: Scope, receive: Receive, _send: Send) -> None:
        nonlocal total
        more = True
        while more:
            message = await receive()
            total += len(message["body"])
            more = message["more_body"]

    async def send(_message: Message) -> None:
        raise AssertionError("no response is expected")

    headers = [] if announced is None else [(b"content-length", announced.encode())]
    await BodyLimit(application)({"type": "http", "path": path, "headers": headers}, receive, send)
    return total


@pytest.mark.parametrize(("path", "limit"), LIMITS.items())
async def test_a_body_at_the_limit_is_read_and_one_byte_more_is_not(path: str, limit: int) -> None:
    half = limit // 2
    assert await read(path, limit) == await read(path, half, limit - half) == limit
    assert await read(path, 7, announced=str(limit)) == 7
    for pieces, announced in (((limit + 1,), None), ((half, limit - half + 1), None), ((7,), str(limit + 1))):
        with pytest.raises(HTTPException) as refused:
            await read(path, *pieces, announced=announced)
        assert (refused.value.status_code, refused.value.detail) == (413, f"The body has more than {limit} bytes.")


@pytest.mark.parametrize("announced", ["", "much", "-5", "1e9"])
async def test_an_invalid_content_length_is_ignored(announced: str) -> None:
    assert await read("/v1/digests", 7, announced=announced) == 7


async def test_a_disconnected_caller_sends_no_body() -> None:
    heard: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def application(_scope: Scope, receive: Receive, _send: Send) -> None:
        heard.append(await receive())

    async def send(_message: Message) -> None:
        raise AssertionError("no response is expected")

    await BodyLimit(application)({"type": "http", "path": "/v1/digests", "headers": []}, receive, send)
    assert heard == [{"type": "http.disconnect"}]


async def test_a_non_http_scope_passes_through() -> None:
    passed: list[tuple[Scope, Receive, Send]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append((scope, receive, send))

    async def receive() -> Message:
        raise AssertionError("no read is expected")

    async def send(_message: Message) -> None:
        raise AssertionError("no message is expected")

    scope = {"type": "lifespan"}
    await BodyLimit(application)(scope, receive, send)
    assert passed == [(scope, receive, send)]
