"""Cleaning of text, links and times from sources."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.dates import parse_time
from app.sources.text import plain, plain_from_html, safe_link, shorten


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One</p><p>Two</p>three<br>four", "One Two three four"),
        ("in<b>side</b>", "inside"),
        ("AT&amp;T &lt;b&gt; &#233;", "AT&T <b> é"),
        ("<script>alert(1)</script>a<style>b</style><!-- c -->d", "ad"),
        ("<img src=x onerror=alert(1)>x", "x"),
        ("<svg><text>drawn</text></svg>", ""),
        ("5 < 6 & 7", "5 < 6 & 7"),
        ("\x00\x08bell\u202egnissim\ud800", "bellgnissim"),
        ("<" * 500, "<" * 100),
        ("", ""),
    ],
)
def test_html_becomes_its_visible_text(markup: str, text: str) -> None:
    assert plain_from_html(markup, 200)[:100] == text


@given(st.text(alphabet=st.characters(), max_size=400), st.integers(10, 100))
def test_any_text_becomes_one_short_valid_line(text: str, limit: int) -> None:
    for clean in (plain(text, limit), plain_from_html(text, limit)):
        assert len(clean) <= limit
        assert clean.encode().decode() == clean
        assert not {"\x00", "\n", "\u202e"} & set(clean)


def test_mathematics_stays_in_an_abstract() -> None:
    assert plain("for  p<q\nand r>s", 100) == "for p<q and r>s"


@pytest.mark.parametrize(
    ("text", "cut"), [("one two three", "one two…"), ("unbreakableword", "unbreakab…"), ("short", "short")]
)
def test_text_is_shortened_between_words(text: str, cut: str) -> None:
    assert shorten(text, 10) == cut


@pytest.mark.parametrize("link", ["https://a.example/b?c=d#e", " http://a.example:8080/ ", "https://ä.example/x"])
def test_safe_links_are_kept(link: str) -> None:
    assert safe_link(link) == link.strip()


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//a.example/", "/relative", "mailto:a@b.c",
        "https://user:secret@a.example/", "https://", "http://a.example:x/", 'https://a.example/"onclick=',
        "https://a.example/\nx", "java\tscript:x", "http://[::1", "https://a.example/" + "x" * 2_000, "", None,
    ],
)  # fmt: skip
def test_unsafe_links_are_removed(link: str | None) -> None:
    assert safe_link(link) is None


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025-03-04T09:30:00Z", datetime(2025, 3, 4, 9, 30, tzinfo=UTC)),
        ("2025-03-04T00:00:00-05:00", datetime(2025, 3, 4, 5, tzinfo=UTC)),
        ("Tue, 04 Mar 2025 07:15:00 GMT", datetime(2025, 3, 4, 7, 15, tzinfo=UTC)),
        ("Tue, 04 Mar 2025 07:15:00 -0500", datetime(2025, 3, 4, 12, 15, tzinfo=UTC)),
        ("2025-03-04", datetime(2025, 3, 4, tzinfo=UTC)),
        ("yesterday", None), ("0001-01-01T00:00:00+14:00", None), ("", None), (None, None), ("9" * 400, None),
    ],
)  # fmt: skip
def test_times_are_read_as_utc(text: str | None, time: datetime | None) -> None:
    assert parse_time(text) == time
