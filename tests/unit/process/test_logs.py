"""Parsers and their libraries log nothing of the text that strangers sent, however detailed the logs are."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from app.config import ApiSettings
from app.errors import SourceError
from app.imports.library import BIBTEX, CSL_JSON, RIS, read_library
from app.process.logs import configure_logs
from app.sources.arxiv_atom import read_page
from app.sources.feed_entry import read_item
from app.sources.fetcher import Fetched
from app.sources.text import plain_from_html
from app.sources.xml import read_feed
from tests.support.logs import restored_logs

SECRET = "xyzzy"
URL = f"https://feed.example/{SECRET}"
FEED = b"<rss><channel><item><title>xyzzy<b></title><q:xyzzy>&xyzzy;\xff</item></channel></rss>"


def library(media_type: str, text: str) -> Callable[[], Awaitable[Any]]:
    async def read() -> Any:
        return [entry async for entry in read_library([text.encode()], media_type)]

    return read


def page(body: bytes) -> Fetched:
    return Fetched(URL, None, body)


async def html() -> str:
    return plain_from_html("<p xyzzy=<<b>&xyzzy;</i>xyzzy<script>xyzzy", 100)


PARSERS: dict[str, Callable[[], Awaitable[Any]]] = {
    "BibTeX": library(
        BIBTEX, "@article{a, title={xyzzy} author={xyzzy}\n@article{b, title={\\xyzzy{} \\begin{xyzzy}}}\n"
    ),
    "RIS": library(RIS, "TI  - xyzzy\nTY  - xyzzy\nxyzzy\nER  - xyzzy\n"),
    "CSL JSON": library(CSL_JSON, '[{"title": "xyzzy", "xyzzy"}, {"DOI": xyzzy}, {"id": ["xyzzy"]'),
    "a list": library("text/plain", "xyzzy\nhttps://doi.org/xyzzy\n10.1000/xyzzy xyzzy\n"),
    "a feed": lambda: read_feed(page(FEED), ("{*}item",), lambda item: read_item(item, URL), limit=9, lenient=True),
    "a broken feed": lambda: read_feed(
        page(FEED), ("{*}item",), lambda item: read_item(item, URL), limit=9, lenient=False
    ),
    "arXiv": lambda: read_page(page(b"<feed><entry>xyzzy</entry><xyzzy/>"), limit=9),
    "HTML": html,
}


@contextmanager
def logs_of(environment: str) -> Iterator[None]:
    """The logs of a process, as detailed as they get, and the test run's again afterwards."""
    values = {"supabase_url": "http://127.0.0.1:9", "supabase_key": "sb_secret_x", "api_keys": "ada:ada-key-0123456789"}
    with restored_logs():
        configure_logs(ApiSettings.model_validate(values | {"environment": environment, "log_level": "DEBUG"}))
        yield


@pytest.mark.parametrize("environment", ["production", "development"])
@pytest.mark.parametrize("name", PARSERS)
async def test_parsers_log_no_text_of_documents(
    environment: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with logs_of(environment):
        with suppress(SourceError):
            await PARSERS[name]()
        logging.getLogger("another").debug("the logs are on")
    printed = "".join(capsys.readouterr())
    assert ("the logs are on" in printed, SECRET in printed) == (True, False)
