"""Responses of sources, and a fetcher for them."""

from collections.abc import Collection
from typing import Protocol

from app.sources.fetcher import HttpFetcher
from tests.support.scripted_server import Step, send

ATOM_HEAD = (
    '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">'
    "<opensearch:totalResults>1</opensearch:totalResults>"
)
"""The beginning of arXiv's response."""


class MakeFetcher(Protocol):
    def __call__(self, **changes: float) -> HttpFetcher: ...


def reply(body: bytes = b"", *, status: int = 200, kind: str = "application/xml", headers: str = "") -> Step:
    """One complete response, then the connection's end."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n{headers}\r\n"
    return send(head.encode() + body, close=True)


def redirect(location: str) -> Step:
    return reply(status=302, headers=f"Location: {location}\r\n")


def page(first: int, count: int, total: int, *, untitled: Collection[int] = ()) -> Step:
    entries = "".join(
        f"<entry><id>http://arxiv.org/abs/2513.{number:05d}v1</id>"
        f"<title>{'' if number in untitled else f'Paper {number}'}</title></entry>"
        for number in range(first, first + count)
    )
    body = (
        '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">'
        f"<opensearch:totalResults>{total}</opensearch:totalResults>{entries}</feed>"
    )
    return reply(body.encode())
