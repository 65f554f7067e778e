"""The fetcher with a size limit, with real servers that misbehave."""

import asyncio
import gzip

import pytest

from app.errors import SourceError
from app.external.client import open_external
from app.sources.fetcher import FetchFailed, FetchSettings, HttpFetcher
from tests.support.fixture_types import Serve
from tests.support.loop_blocking import longest_hold
from tests.support.scripted_server import Step, hang_up, send, stall
from tests.support.source_responses import MakeFetcher, redirect, reply

GZIP = "Content-Encoding: gzip\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n\r\n"


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while not writer.is_closing():
        writer.write(b"<item>" + b"A" * 65_536)
        await writer.drain()


async def gzip_with_trailing_data(writer: asyncio.StreamWriter) -> None:
    """A complete document, followed by endless other data."""
    writer.write(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + gzip.compress(b"<rss/>"))
    while not writer.is_closing():
        writer.write(b"A" * 65_536)
        await writer.drain()


async def byte_by_byte(writer: asyncio.StreamWriter) -> None:
    head = HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(head + b"1\r\nA\r\n" * 100_000 + b"0\r\n\r\n")
    await writer.drain()


async def empty_blocks(writer: asyncio.StreamWriter) -> None:
    """Deflate's empty blocks, which decompress to nothing."""
    start = gzip.compress(b"")[:10]
    writer.write(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + start)
    while not writer.is_closing():
        writer.write(b"\x00\x00\x00\xff\xff" * 10_000)
        await writer.drain()


async def slow_body(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"<rss>")
    await writer.drain()
    await asyncio.Event().wait()


async def test_a_response_is_decompressed_and_described(serve: Serve, make_fetcher: MakeFetcher) -> None:
    server = await serve(reply(gzip.compress(b"<rss/>"), kind="text/xml; charset=ISO-8859-1", headers=GZIP))
    answer = await make_fetcher().get(f"{server.url}/feed", params={"q": "a b"})
    assert (answer.body, answer.charset) == (b"<rss/>", "iso-8859-1")
    assert "user-agent: broadsheet" in server.heads[0].lower()
    assert "accept-encoding: gzip\r\n" in server.heads[0].lower()
    assert server.seen == ["GET /feed?q=a+b"]


@pytest.mark.parametrize(
    ("step", "said", "transient"),
    [
        (endless, "more than 100000 bytes", False),
        (empty_blocks, "more than 100000 bytes", False),
        (reply(gzip.compress(b"A" * 50_000_000), headers=GZIP), "more than 100000 bytes", False),
        (reply(gzip.compress(gzip.compress(b"A")), headers="Content-Encoding: gzip, gzip\r\n"), "encoding", False),
        (reply(b"not gzip", headers=GZIP), "broken gzip", False),
        (reply(gzip.compress(b"A" * 1_000)[:-9], headers=GZIP), "sent an incomplete response", True),
        (reply(b"half", headers="Content-Length: 10\r\n"), "could not be read", True),
        (reply(b"\x89PNG", kind="image/png"), "image/png, which is not a feed", False),
        (reply(b"no", status=404), "^HTTP 404 Not Found from 127.0.0.1$", False),
        (reply(b"no", status=503), "^HTTP 503 Service Unavailable from 127.0.0.1$", True),
        (reply(b"no", status=599), "^HTTP 599 from 127.0.0.1$", False),
        (send(b"SMTP ready\r\n", close=True), "could not be read", True),
        (hang_up, "could not be read", True),
    ],
)
async def test_a_bad_response_is_a_failure_with_its_reason(
    serve: Serve, make_fetcher: MakeFetcher, step: Step, said: str, transient: bool
) -> None:
    server = await serve(step)
    with pytest.raises(FetchFailed, match=said) as failure:
        await make_fetcher(max_bytes=100_000).get(server.url)
    assert failure.value.transient is transient


async def test_nothing_is_read_after_a_complete_document(serve: Serve, make_fetcher: MakeFetcher) -> None:
    server = await serve(gzip_with_trailing_data)
    assert (await make_fetcher().get(server.url)).body == b"<rss/>"


async def test_one_byte_chunks_do_not_hold_the_loop(serve: Serve, make_fetcher: MakeFetcher) -> None:
    server = await serve(byte_by_byte)
    answer, hold = await longest_hold(lambda: make_fetcher().get(server.url), 0.03)
    assert not isinstance(answer, Exception)
    assert len(answer.body) == 100_000
    assert hold < 0.03


@pytest.mark.parametrize(
    "value", ["text/xml; charset=" + ";" * 60_000, 'text/xml; a="' + ";" * 60_000, "text/xml;" + " charset=x" * 6_000]
)
async def test_a_long_header_does_not_hold_the_loop(serve: Serve, make_fetcher: MakeFetcher, value: str) -> None:
    server = await serve(reply(b"<rss/>", kind=value))
    answer, hold = await longest_hold(lambda: make_fetcher().get(server.url), 0.15)
    assert not isinstance(answer, Exception)
    assert hold < 0.15


@pytest.mark.parametrize("step", [stall, slow_body])
async def test_the_whole_exchange_has_one_deadline(serve: Serve, make_fetcher: MakeFetcher, step: Step) -> None:
    server = await serve(step)
    with pytest.raises(FetchFailed, match=r"did not complete its response within 0\.05 s"):
        await make_fetcher(total_seconds=0.05).get(server.url)


async def test_a_429_has_the_time_of_the_next_attempt(serve: Serve, make_fetcher: MakeFetcher) -> None:
    server = await serve(reply(b"slow down", status=429, headers="Retry-After: 17\r\n"))
    with pytest.raises(FetchFailed, match="429 Too Many Requests") as failure:
        await make_fetcher().get(server.url)
    assert (failure.value.retry_after, failure.value.transient, failure.value.body) == (17.0, True, b"slow down")


async def test_a_refused_connection_is_a_failure_result(serve: Serve, make_fetcher: MakeFetcher) -> None:
    server = await serve(hang_up)
    await server.stop()
    with pytest.raises(FetchFailed, match="could not be read"):
        await make_fetcher().get(server.url)


@pytest.mark.parametrize("url", ["http://[::1", "ftp://127.0.0.1/x", "nonsense", "http://127.0.0.1:99999/"])
async def test_an_invalid_url_is_a_failure(make_fetcher: MakeFetcher, url: str) -> None:
    with pytest.raises(SourceError):
        await make_fetcher().get(url)


async def test_redirects_on_the_same_host_are_followed(serve: Serve, make_fetcher: MakeFetcher) -> None:
    server = await serve(redirect("/second"), redirect("third?x=1"), reply(b"<rss/>"))
    answer = await make_fetcher().get(f"{server.url}/first")
    assert (answer.body, answer.url) == (b"<rss/>", f"{server.url}/third?x=1")


async def test_a_redirect_loop_ends(serve: Serve, make_fetcher: MakeFetcher) -> None:
    server = await serve(redirect("/again"))
    with pytest.raises(FetchFailed, match="more than 3 redirects"):
        await make_fetcher().get(server.url)
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "javascript:alert(1)", "gopher://example.org/", "http://[::1", "http://127.0.0.1:99999/"],
)
async def test_a_redirect_to_another_scheme_is_refused(serve: Serve, make_fetcher: MakeFetcher, location: str) -> None:
    server = await serve(redirect(location))
    with pytest.raises(SourceError):
        await make_fetcher().get(server.url)
    assert len(server.seen) == 1


async def test_a_redirect_into_the_private_network_is_not_followed(serve: Serve, make_fetcher: MakeFetcher) -> None:
    inside = await serve(reply(b"secret"))
    server = await serve(redirect(inside.url))
    with pytest.raises(SourceError, match=r"redirected to 127\.0\.0\.1, which is not a public address"):
        await make_fetcher().get(server.url)
    assert inside.seen == []


async def test_allowed_private_redirects_get_no_key(serve: Serve) -> None:
    inside = await serve(reply(b"<rss/>"))
    server = await serve(redirect(inside.url))
    async with open_external() as client:
        fetcher = HttpFetcher(client, FetchSettings("Broadsheet tests", private_redirects=True))
        answer = await fetcher.get(server.url, headers={"X-Api-Key": "k-123"})
    assert answer.body == b"<rss/>"
    assert ["k-123" in head for head in (server.heads[0], inside.heads[0])] == [True, False]
