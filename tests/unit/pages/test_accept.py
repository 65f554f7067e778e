"""Browsers get pages; programs that accept anything, or prefer another type, do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pages.accept import prefers_html

ATOM, XML = "application/atom+xml", "application/xml"
BROWSERS = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7",
    "text/html, application/xhtml+xml, image/jxr, */*;q=0.5",
    "TEXT/HTML",
    "text/*, */*;q=0.1",
)
PROGRAMS = (
    "",
    "*/*",
    ATOM,
    "application/atom+xml, application/rss+xml, application/xml;q=0.9, text/xml;q=0.8, text/html;q=0.7, */*;q=0.6",
    "application/rss+xml, application/rdf+xml;q=0.8, application/atom+xml;q=0.6, application/xml;q=0.4",
    "text/html, application/atom+xml",
    "text/html, */*",
    "text/html;q=0.3, */*;q=0.5",
    "text/html;q=0, */*;q=0",
    "text/html;q=nan",
    "text/html;q=7, */*;q=0.1",
    "application/xml",
    "application/xml, text/html;q=0.9",
)


@pytest.mark.parametrize("accept", BROWSERS)
def test_a_browser_prefers_a_page(accept: str) -> None:
    assert prefers_html(accept, ATOM, XML)


@pytest.mark.parametrize("accept", PROGRAMS)
def test_a_program_does_not_prefer_a_page(accept: str) -> None:
    assert not prefers_html(accept, ATOM, XML)


@given(st.text(max_size=200) | st.text(alphabet="text/html*,;q=0.19 ", max_size=2_000))
def test_any_header_is_read(accept: str) -> None:
    assert prefers_html(accept, ATOM, XML) in {True, False}
    assert prefers_html(f"{accept},text/html,{ATOM}", ATOM, XML) in {True, False}
