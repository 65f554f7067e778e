"""A mail is written in short steps, each link is signed once, and the bytes do not change."""

import asyncio
import textwrap
from collections import Counter
from email.message import EmailMessage

import pytest
from fastapi.responses import HTMLResponse
from hypothesis import given
from hypothesis import strategies as st

from app.api.digest_pages import DigestPages
from app.digest.rendering import DigestRenderer
from app.links import Link, Links
from app.mail.digest_mail import digest_message
from app.mail.encoding import encode_in_steps
from app.mail.footer import MailLinks
from app.mail.message import build_message, message_bytes
from app.mail.text import wrapped
from app.models.digests import Digest
from app.models.profiles import MAX_ITEMS
from app.persistence.digests import StoredDigest
from app.sources.text import plain
from app.time_slice import TimeSlice
from tests.support.digest_items import DAY, ENVELOPE, READER, MakeDigest
from tests.support.loop_blocking import longest_hold
from tests.support.messages import HOSTILE, mail_of
from tests.support.reader_mails import body

STEP = 0.005
RENDER = DigestRenderer().render
SENTENCE = "A sentence of ten words that goes on <and> on & on. "


def written(digest: Digest, links: MailLinks) -> EmailMessage:
    return asyncio.run(digest_message(digest, RENDER, links=links, **ENVELOPE))


def signed_by(links: Links) -> MailLinks:
    return MailLinks.signed(links, READER, 1, DAY)


class CountingLinks(Links):
    def __init__(self) -> None:
        super().__init__(["0123456789abcdef"], "https://digest.example.org")
        self.signed: Counter[str] = Counter()

    def sign(self, purpose: str, link: Link) -> str:
        self.signed[purpose] += 1
        return super().sign(purpose, link)


@pytest.mark.parametrize("items", [12, MAX_ITEMS], ids=["24 items", "the most items"])
async def test_no_step_of_writing_a_mail_holds_the_loop(make_digest: MakeDigest, items: int) -> None:
    digest = make_digest(papers=items, news=items, text=SENTENCE * 12)

    async def write() -> bytes:
        # New links each time, because each is signed once.
        message = await digest_message(digest, RENDER, links=signed_by(CountingLinks()), **ENVELOPE)
        return message_bytes(message)

    content, hold = await longest_hold(write, STEP)
    assert isinstance(content, bytes)
    assert hold < STEP


async def test_no_step_of_rendering_a_page_holds_the_loop(make_digest: MakeDigest) -> None:
    digest = make_digest(papers=MAX_ITEMS, news=MAX_ITEMS, text=SENTENCE * 12)
    page, hold = await longest_hold(lambda: RENDER(digest), STEP)
    assert isinstance(page, str)
    assert hold < STEP


async def test_no_step_of_opening_a_digest_holds_the_loop(make_digest: MakeDigest) -> None:
    digest = make_digest(papers=MAX_ITEMS, news=MAX_ITEMS, text=SENTENCE * 12)
    pages, stored = DigestPages(), StoredDigest(digest=digest.model_dump(mode="json"))
    await pages.response(stored)  # the first one compiles the templates
    response, hold = await longest_hold(lambda: pages.response(stored), STEP)
    assert isinstance(response, HTMLResponse)
    assert bytes(response.body).decode() == await RENDER(digest)
    assert hold < STEP


def test_each_link_is_signed_once_for_text_and_page(make_digest: MakeDigest) -> None:
    links = CountingLinks()
    # So long that the page is rendered more than once.
    message = written(make_digest(papers=40, news=20, text=SENTENCE * 30), signed_by(links))
    assert "omitted, because" in body(message, "plain")
    assert set(links.signed.values()) == {1}


@given(st.text(), st.sampled_from(["", "   ", "     "]), st.sampled_from([None, "", "   "]))
def test_text_is_wrapped_as_the_library_does(text: str, indent: str, first: str | None) -> None:
    expected = textwrap.fill(
        plain(text, 2_000),
        72,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    assert wrapped(text, indent, first=first) == expected


@given(st.lists(st.integers(1, 90), max_size=60), st.sampled_from(["", "     "]))
def test_words_of_any_length_are_wrapped_like_the_library(lengths: list[int], indent: str) -> None:
    text = " ".join("w" * length for length in lengths)
    expected = textwrap.fill(
        plain(text, 2_000), 72, initial_indent=indent, subsequent_indent=indent, break_long_words=False
    )
    assert wrapped(text, indent) == expected


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:25]))
def test_the_bytes_equal_the_librarys(text: str) -> None:
    page = f"<p>{text}</p>\n.\n.."
    message = build_message(mail_of(subject=text, text=text, page=page))
    assert message_bytes(message) == message.as_bytes()
    in_steps = [asyncio.run(encode_in_steps(each, TimeSlice())) for each in (text, page)]
    encoded = build_message(mail_of(subject=text, text=in_steps[0], page=in_steps[1]))
    assert message_bytes(encoded) == message.as_bytes()
