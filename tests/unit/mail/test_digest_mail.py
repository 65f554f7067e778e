"""A digest as a mail: its subject, its text and its page."""

import asyncio
import re
from email.message import EmailMessage
from html import unescape
from typing import Any

import pytest

from app.digest.rendering import DigestRenderer
from app.links import Links
from app.mail import digest_mail, text
from app.mail.digest_mail import MAX_MESSAGE_BYTES, Render, subject
from app.mail.footer import MailLinks
from app.mail.item_links import ITEM_ACTIONS, item_name
from app.models.articles import SAMPLE_CATEGORY, EditionStatus
from app.models.digests import Digest, DigestItem, FallbackReason, ModelUsage, Reason, ReasonKind
from app.time_slice import TimeSlice
from tests.support.digest_items import DAY, ENVELOPE, READER, MakeDigest
from tests.support.messages import HOSTILE, check_mail
from tests.support.reader_mails import body

SIGN_OFF = "-- "
RENDER = DigestRenderer().render


def digest_message(digest: Digest, render: Render, **more: Any) -> EmailMessage:
    return asyncio.run(digest_mail.digest_message(digest, render, **more))


def page_of(digest: Digest, links: MailLinks) -> str:
    """The page of the digest's mail as a mail program shows it."""
    return body(check_mail(digest_message(digest, RENDER, links=links, **ENVELOPE)), "html")


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
    better = make_digest().news[0].model_copy(update={"score": 1.5})
    assert subject(make_digest().model_copy(update={"news": (better,)})) == "Title of news 0 and 3 more"
    assert subject(marked_as_sample(make_digest())).startswith("[Sample] Title of paper 0")


def test_the_text_part_is_complete(make_digest: MakeDigest, links: MailLinks) -> None:
    digest = make_digest(papers=1, news=1, source_errors={"feed:Nature": "timed out"})

    def block_of(item: DigestItem) -> str:
        return f"   Like, dislike or save: {links.home}/2026-11-24#{item_name(item.article)}"

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
    assert len(message.as_bytes()) <= MAX_MESSAGE_BYTES
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


def test_a_long_title_or_paragraph_of_the_text_is_cut(make_digest: MakeDigest, links: MailLinks) -> None:
    longest, longer = (
        digest_text(make_digest(papers=1, news=0, text="w" * length), links).splitlines() for length in (2_000, 2_001)
    )
    assert f"   {'w' * 299}…" in longest
    assert f"   {'w' * 2_000}" in longest
    assert f"   {'w' * 1_999}…" in longer


def test_a_page_that_fits_is_complete(make_digest: MakeDigest, links: MailLinks) -> None:
    page = page_of(make_digest(), links)
    assert "omitted" not in page
    assert all(f"Title of {name}" in page for name in ("paper 0", "paper 2", "news 1"))
    assert page.index("Unsubscribe") < page.index("</body>")


def test_a_long_mail_omits_the_lowest_items_and_says_so(make_digest: MakeDigest, links: MailLinks) -> None:
    digest = make_digest(papers=40, news=20, text=None)
    grow = {"summary": "A sentence that goes on. " * 60}
    digest = digest.model_copy(
        update={
            "papers": tuple(item.model_copy(update=grow) for item in digest.papers),
            "news": tuple(item.model_copy(update=grow) for item in digest.news),
        }
    )
    mail = check_mail(digest_message(digest, RENDER, links=links, **ENVELOPE))
    shown = [set(re.findall(r"Title of (?:paper|news) \d+", body(mail, kind))) for kind in ("plain", "html")]
    scores = {item.article.title: item.score for item in (*digest.papers, *digest.news)}
    gone = scores.keys() - shown[1]
    assert shown[0] == shown[1], "the text has the same items"
    assert len(shown[1]) > 20
    assert min(scores[title] for title in shown[1]) >= max(scores[title] for title in gone)
    note = f"{len(gone)} items are omitted, because mail programs truncate longer mails."
    assert f'{note} <a href="{links.page}"' in body(mail, "html")
    assert f"{note}\nAll items: {links.page}\n" in body(mail, "plain").replace("\r\n", "\n")


def test_a_link_on_the_page_cannot_leave_its_attribute(make_digest: MakeDigest) -> None:
    links = MailLinks(home="https://x.example/?a=1&b='onclick='alert(1)", unsubscribe="https://x.example/")
    page = page_of(make_digest(), links)
    assert "https://x.example/?a=1&amp;b=&#x27;onclick=&#x27;alert(1)" in page


def test_a_mails_page_has_three_links_per_item_its_text_one(make_digest: MakeDigest, links: MailLinks) -> None:
    digest = make_digest()
    signed = Links(["0123456789abcdef"], "")
    items = (*digest.papers, *digest.news)
    found = re.findall(r"https://digest\.example\.org/r/(\w+):(\w+)/([\w.-]+)", unescape(page_of(digest, links)))
    assert [(act, name) for act, name, _ in found] == [
        (act, item_name(item.article)) for item in items for act in ITEM_ACTIONS
    ]
    for act, name, token in found:
        link = signed.read(f"{act}:{name}", token)
        assert (link.reader_id, link.generation, link.day) == (READER, 1, DAY)
    assert len({item_name(item.article) for item in items}) == 5
    anchors = re.findall(r"/r/home/([\w.-]+)/2026-11-24#(\w+)", digest_text(digest, links))
    assert [name for _, name in anchors] == [item_name(item.article) for item in items]
    assert signed.read("home", anchors[0][0]).reader_id == READER
    assert "/r/" not in asyncio.run(RENDER(digest)), "pages of callers have no reader's links"


def test_a_brief_text_has_titles_and_links_only(make_digest: MakeDigest, links: MailLinks) -> None:
    digest = make_digest(papers=1, news=0)
    written = asyncio.run(text.digest_text(digest, links, TimeSlice(), brief=True))
    item = digest.papers[0]
    expected = (
        f"1. {item.article.title}\n   By A. Author, B. Writer (arXiv, cs.LG)\n   {item.article.url}\n   Like, dislike"
    )
    assert expected in written
    assert "What paper 0 says." not in written


def test_what_a_reader_can_change_is_linked(make_digest: MakeDigest, links: MailLinks) -> None:
    reasons = (
        Reason(kind=ReasonKind.INTEREST, text="matches: ice", change="edit your interests"),
        Reason(kind=ReasonKind.LIKED, text="close to a paper", change="undo your feedback on that paper"),
    )
    digest = make_digest(papers=2, news=0)
    papers = (digest.papers[0].model_copy(update={"reasons": reasons}), digest.papers[1])
    page = page_of(digest.model_copy(update={"papers": papers}), links)
    assert f'Not what you wanted? <a href="{links.preferences}">Edit your interests</a>' in page
    assert f'; <a href="{links.home}">undo your feedback on that paper</a>.' in page
    unlinked = page_of(digest.model_copy(update={"papers": papers}), MailLinks(unsubscribe="https://x.example/u"))
    assert "Not what you wanted? Edit your interests; undo your feedback on that paper." in unlinked
