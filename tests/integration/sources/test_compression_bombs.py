"""A compressed response costs no more memory than its limit, also if one piece of it would inflate to gigabytes."""

import gzip
import tracemalloc
from collections.abc import Iterator

import pytest

from app.sources.fetcher import FetchFailed
from tests.support.fixture_types import Serve
from tests.support.scripted_server import Step, send
from tests.support.source_responses import MakeFetcher, reply

LIMIT = 100_000
GZIP = "Content-Encoding: gzip\r\n"
INFLATED = 50_000_000
BOMB = gzip.compress(b"A" * INFLATED)
"""Fewer bytes than one read takes: all of it arrives as one piece."""


def in_one_chunk(body: bytes) -> Step:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked\r\n{GZIP}\r\n"
    return send(head.encode() + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n", close=True)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize(
    "step",
    [in_one_chunk(BOMB), reply(BOMB, headers=GZIP), reply(BOMB, status=503, headers=GZIP)],
    ids=["one chunk", "no chunks", "an error's body"],
)
@pytest.mark.usefixtures("traced")
async def test_a_compression_bomb_costs_no_memory(serve: Serve, make_fetcher: MakeFetcher, step: Step) -> None:
    assert len(BOMB) < 65_536
    server = await serve(step)
    fetcher = make_fetcher(max_bytes=LIMIT)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with pytest.raises(FetchFailed):
        await fetcher.get(server.url)
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < INFLATED / 20, "some limits' worth, and what a connection needs"
