"""A digest as a mail: subject, text part, and a page that mail programs show completely."""

import asyncio
import re
from email.message import EmailMessage
from html import unescape
from typing import Any

import pytest

from app.digest.rendering import DigestRenderer
from app.links import Links
from app.mail import digest_mail, text
from app.mail.digest_mail import MAX_PAGE_BYTES, Render, subject
from app.mail.footer import MailLinks
from app.mail.item_links import ITEM_ACTIONS, item_name
from app.models.articles import SAMPLE_CATEGORY, EditionStatus
from app.models.digests import Digest, DigestItem, FallbackReason, ModelUsage
from app.models.profiles import MAX_ITEMS
from app.time_slice import TimeSlice
from tests.support.digest_items import DAY, ENVELOPE, READER, MakeDigest
from tests.support.messages import HOSTILE, check_mail

SIGN_OFF = "-- "
RENDER = DigestRenderer().render


def digest_message(digest: Digest, render: Render, **more: Any) -> EmailMessage:
    return asyncio.run(digest_mail.digest_message(digest, render, **more))


def fitting_page(digest: Digest, render: Render, links: MailLinks) -> str:
    return asyncio.run(digest_mail.fitting_page(digest, render, links, TimeSlice()))


def digest_text(digest: Digest, links: MailLinks) -> str:
    return asyncio.run(text.digest_text(digest, links, TimeSlice()))


def marked_as_sample(digest: Digest) -> Digest:
    best = digest.papers[0]
    sample = best.model_copy(update={"article": best.article.model_copy(update={"categories": (SAMPLE_CATEGORY,)})})
    return digest.model_copy(update={"papers": (sample,)})


def test_the_subject_is_the_best_items_title(make_digest: MakeDigest) -> None:
    assert subject(make_digest()) == "Title of paper 0 and 4 more"
    assert subject(make_digest(papers=0)) == "Title of news 0 and 1 more"
    assert subject(make_digest(papers=1, news=0)) == "Title of paper 0"
    assert subject(make_digest(papers=0, news=0)) == "Nothing new for Tuesday, 24 November 2026"
    partial = make_digest(papers=0, news=0, source_errors={"arxiv": "timed out"})
    assert subject(partial) == "Nothing new for Tuesday, 24 November 2026 in the sources that could be read"
    unread = make_digest(papers=0, news=0, edition_status=EditionStatus.FAILED)
    assert subject(unread) == "Your digest for Tuesday, 24 November 2026: no source could be read"
    assert subject(make_digest(text="long words " * 30)).endswith("… and 4 more")
    assert len(subject(make_digest(text="long words " * 30))) < 130
    assert subject(marked_as_sample(make_digest())).startswith("[Sample] Title of paper 0")


def test_the_text_part_is_complete(make_digest: MakeDigest, links: MailLinks) -> None:
    digest = make_digest(papers=1, news=1, source_errors={"feed:Nature": "timed out"})

    def block_of(item: DigestItem) -> str:
        return "\n".join(f"   {label}: {address}" for label, address in links.of_item(item.article))

    assert (
        digest_text(digest, links)
        == f"""\
BROADSHEET for Ada
Tuesday, 24 November 2026

INCOMPLETE: Nature could not be read: new items from there are missing
here.

Three papers and two news items were selected for you.

PAPERS
------

1. Title of paper 0
   By A. Author, B. Writer (arXiv, cs.LG)
   What paper 0 says.
   * What paper 0 says.
   * What paper 0 says.
   Reason: matches: ice.
   https://arxiv.example/abs/0
{block_of(digest.papers[0])}

IN THE NEWS
-----------

2. Title of news 0
   By A. Author, B. Writer (Nature, cs.LG)
   What news 0 says.
   * What news 0 says.
   * What news 0 says.
   Reason: matches: ice.
   https://arxiv.example/abs/0
{block_of(digest.news[0])}

{SIGN_OFF}
Your page: {links.home}
Read in the browser: {links.page}
Change your preferences: {links.preferences}
Change the schedule: {links.schedule}
Pause: {links.pause}
Unsubscribe: {links.unsubscribe}
"""
    )


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:25]))
def test_a_hostile_digest_is_a_complete_mail(make_digest: MakeDigest, links: MailLinks, text: str) -> None:
    # The models refuse lone surrogates.
    text = text.encode("utf-8", "replace").decode() or " "
    digest = make_digest(text=text, source_errors={text: text})
    message = digest_message(digest, RENDER, links=links, **ENVELOPE)
    read = check_mail(message)
    plain, page = read.get_body(("plain",)), read.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert links.unsubscribe in plain.get_content()
    assert links.unsubscribe in page.get_content()
    assert not set(plain.get_content()) & {"\0", "\x1b", "\u202e", "\u2028", "\x85"}
    assert len(page.get_content().encode()) < MAX_PAGE_BYTES
    assert digest_message(digest, RENDER, links=links, **ENVELOPE).as_bytes() == message.as_bytes()


def test_a_partial_edition_is_named(make_digest: MakeDigest, links: MailLinks) -> None:
    partial = make_digest(edition_status=EditionStatus.PARTIAL)
    assert "INCOMPLETE: Some sources could not be read." in digest_text(partial, links)
    assert "INCOMPLETE" not in digest_text(make_digest(), links)


def test_the_text_says_why_there_are_excerpts(make_digest: MakeDigest, links: MailLinks) -> None:
    usage = ModelUsage(model="tiny-1", calls=1, fallbacks={FallbackReason.TIMEOUT: 1})
    shown = " ".join(digest_text(make_digest(usage=usage), links).split())
    assert "EXCERPTS: 1 item quotes the abstract, because the language model wrote no summary" in shown
    assert "it did not respond in time." in shown
    assert "EXCERPTS" not in digest_text(make_digest(), links)


def test_text_lines_are_short_except_for_links(make_digest: MakeDigest, links: MailLinks) -> None:
    lines = digest_text(make_digest(text="some words of a sentence " * 20), links).splitlines()
    assert [line for line in lines if len(line) > 72 and "https://" not in line] == []


def test_a_page_that_fits_is_complete(make_digest: MakeDigest, links: MailLinks) -> None:
    page = fitting_page(make_digest(), RENDER, links)
    assert "omitted" not in page
    assert all(f"Title of {name}" in page for name in ("paper 0", "paper 2", "news 1"))
    assert page.index("Unsubscribe") < page.index("</body>")


def test_a_long_page_omits_the_lowest_items_and_says_so(make_digest: MakeDigest, links: MailLinks) -> None:
    digest = make_digest(papers=40, news=20, text=None)
    long = "A sentence that goes on. " * 60
    grow = {"summary": long}
    digest = digest.model_copy(
        update={
            "papers": tuple(item.model_copy(update=grow) for item in digest.papers),
            "news": tuple(item.model_copy(update=grow) for item in digest.news),
        }
    )
    page = fitting_page(digest, RENDER, links)
    assert len(page.encode()) < MAX_PAGE_BYTES
    shown = {(kind, int(n)) for kind, n in re.findall(r"Title of (paper|news) (\d+)\b", page)}
    scores = {
        (str(item.article.kind), int(item.article.external_id.rpartition("-")[2])): item.score
        for item in (*digest.papers, *digest.news)
    }
    gone = scores.keys() - shown
    assert ("paper", 0) in shown
    assert len(shown) > 10
    assert min(scores[item] for item in shown) >= max(scores[item] for item in gone)
    assert f"{len(gone)} items are omitted, because mail programs truncate longer mails." in page
    assert f'<a href="{links.page}"' in page
    # The text part has all items.
    assert "Title of news 19" in digest_text(digest, links)


@pytest.mark.parametrize("text", ["<&>\U0001f989 " * 300, "W" * 3_000], ids=["markup", "a word without end"])
def test_the_largest_page_is_below_the_clipping_limit(make_digest: MakeDigest, links: MailLinks, text: str) -> None:
    digest = make_digest(papers=MAX_ITEMS, news=MAX_ITEMS, text=text, source_errors={text[:n]: text for n in range(99)})
    read = check_mail(digest_message(digest, RENDER, links=links, **ENVELOPE))
    page = read.get_body(("html",))
    assert page is not None
    # As delivered: each line ends with two bytes.
    assert len(page.get_payload(decode=True)) < MAX_PAGE_BYTES
    assert links.unsubscribe in page.get_content()


def test_one_very_long_item_does_not_exceed_the_limit(make_digest: MakeDigest, links: MailLinks) -> None:
    page = fitting_page(make_digest(papers=1, news=0, text="endless " * 30_000), RENDER, links)
    assert len(page.encode()) < MAX_PAGE_BYTES
    assert "1 item is omitted" in page


def test_a_link_on_the_page_cannot_leave_its_attribute(make_digest: MakeDigest) -> None:
    links = MailLinks(unsubscribe="https://x.example/?a=1&b='onclick='alert(1)")
    page = fitting_page(make_digest(), RENDER, links)
    assert "https://x.example/?a=1&amp;b=&#x27;onclick=&#x27;alert(1)" in page


def test_mails_have_three_links_per_item_and_callers_pages_none(make_digest: MakeDigest, links: MailLinks) -> None:
    digest = make_digest()
    signed = Links(["0123456789abcdef"], "")
    for content in (fitting_page(digest, RENDER, links), digest_text(digest, links)):
        found = re.findall(r"https://digest\.example\.org/r/(\w+):(\w+)/([\w.-]+)", unescape(content))
        assert [(act, name) for act, name, _ in found] == [
            (act, item_name(item.article)) for item in (*digest.papers, *digest.news) for act in ITEM_ACTIONS
        ]
        for act, name, token in found:
            link = signed.read(f"{act}:{name}", token)
            assert (link.reader_id, link.generation, link.day) == (READER, 1, DAY)
    assert len({item_name(item.article) for item in (*digest.papers, *digest.news)}) == 5
    assert "/r/" not in asyncio.run(RENDER(digest))
