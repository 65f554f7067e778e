"""A mail has at most 100 kB, whatever the items: mail programs hide the rest of a longer one."""

import asyncio
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.digest.rendering import DigestRenderer
from app.links import Links
from app.mail.digest_mail import MAX_MESSAGE_BYTES, digest_message
from app.mail.footer import MailLinks
from app.mail.message import message_bytes
from app.models.articles import Article, ArticleKind, EditionStatus
from app.models.digests import AnalysisMethod, Digest, DigestItem, Reason, ReasonKind
from app.models.profiles import MAX_ITEMS, Profile
from tests.support.digest_items import DAY, ENVELOPE, READER, MakeDigest
from tests.support.messages import check_mail
from tests.support.reader_mails import body

RENDER = DigestRenderer().render
LONG_ADDRESS = "https://" + "digest." * 30 + "example.org/" + "a" * 200
LETTERS = ("a", "é", "日", "🦉", "<", '"', "&", "=", "ש", "a b ", "日 本 ", ".\n", "\u202e")
LENGTHS = (0, 1, 80, 300, 3_000, 40_000)

texts = st.builds(
    lambda letters, length: (letters * length)[:length], st.sampled_from(LETTERS), st.sampled_from(LENGTHS)
)


@st.composite
def items(draw: st.DrawFn, kind: ArticleKind, score: float) -> DigestItem:
    """An item with any text in each field, as no source delivers it."""
    link = f"https://example.org/{'u' * draw(st.sampled_from((5, 1_900)))}"
    article = Article(
        source=draw(texts) or "arxiv", external_id="1", kind=kind, title=draw(texts),
        authors=tuple(draw(st.lists(texts, max_size=6))), categories=tuple(draw(st.lists(texts, max_size=4))),
        url=link, pdf_url=link, code_url=link, doi=draw(texts), journal_ref=draw(texts),
    )  # fmt: skip
    reasons = tuple(Reason(kind=ReasonKind.LIKED, text="x", words=(draw(texts),), change=draw(texts)) for _ in range(2))
    return DigestItem(
        article=article, score=score, reason=draw(texts), reasons=reasons, summary=draw(texts),
        key_points=tuple(draw(st.lists(texts, max_size=8))), analysis=AnalysisMethod.EXTRACTIVE,
    )  # fmt: skip


@st.composite
def digests(draw: st.DrawFn) -> Digest:
    """A digest of up to the most items. A few kinds of items are repeated: a hundred different ones take minutes."""
    counts = st.sampled_from((0, 1, 7, MAX_ITEMS))
    chance = random.Random(draw(st.integers(0, 9)))

    def some(kind: ArticleKind) -> tuple[DigestItem, ...]:
        kinds = [draw(items(kind, chance.random())) for _ in range(3)]
        count = draw(counts)
        return tuple(chance.choice(kinds).model_copy(update={"score": chance.random()}) for _ in range(count))

    return Digest(
        source_date=DAY,
        profile=Profile(name="Ada"),
        introduction=draw(texts),
        papers=some(ArticleKind.PAPER),
        news=some(ArticleKind.NEWS),
        considered=500,
        edition_status=EditionStatus.PARTIAL,
        source_errors={draw(texts): draw(texts)},
    )


def written(digest: Digest, address: str = "https://digest.example.org") -> bytes:
    links = MailLinks.signed(Links(["0123456789abcdef"], address), READER, 1, DAY)
    message = asyncio.run(digest_message(digest, RENDER, links=links, **ENVELOPE))
    read = check_mail(message)
    assert links.unsubscribe in body(read, "html")
    assert links.unsubscribe in body(read, "plain")
    return message_bytes(message)


@settings(max_examples=60, deadline=None)
@given(digests(), st.sampled_from(["https://digest.example.org", LONG_ADDRESS]))
def test_a_mail_of_any_items_is_not_truncated(digest: Digest, address: str) -> None:
    assert len(written(digest, address)) <= MAX_MESSAGE_BYTES


@pytest.mark.parametrize("text", ["<&>\U0001f989 ", "W", "日本語の文章。", '"'])
def test_the_largest_mail_shows_as_many_items_as_fit(make_digest: MakeDigest, text: str) -> None:
    errors = {f"{n}{text}": text * 300 for n in range(99)}
    content = written(make_digest(papers=MAX_ITEMS, news=MAX_ITEMS, text=(text * 3_000)[:3_000], source_errors=errors))
    assert MAX_MESSAGE_BYTES * 0.6 < len(content) <= MAX_MESSAGE_BYTES


def test_a_mail_of_24_usual_items_is_complete(make_digest: MakeDigest) -> None:
    sentence = "Melting ice opens the crevasses of a glacier in spring. "
    digest = make_digest(papers=18, news=6)
    longer: dict[str, Any] = {"summary": sentence * 8, "key_points": (sentence * 3,) * 3}
    papers, news = (tuple(i.model_copy(update=longer) for i in each) for each in (digest.papers, digest.news))
    content = written(digest.model_copy(update={"papers": papers, "news": news}))
    assert b"omitted" not in content
    assert len(content) < MAX_MESSAGE_BYTES


def test_texts_that_no_line_can_hold_are_shortened(make_digest: MakeDigest) -> None:
    content = written(make_digest(papers=1, news=0, text="endless " * 30_000))
    assert len(re.findall(rb"endless", content)) > 100
    assert b"omitted" not in content


@pytest.mark.parametrize(
    ("text", "encoding"), [("Ice remembers. ", "quoted-printable"), ("氷は覚えている。", "base64"), ("é" * 9, "base64")]
)
def test_the_smaller_transfer_encoding_is_chosen(make_digest: MakeDigest, text: str, encoding: str) -> None:
    digest = make_digest(text=text * 200)
    links = MailLinks.signed(Links(["0123456789abcdef"], "https://digest.example.org"), READER, 1, DAY)
    read = check_mail(asyncio.run(digest_message(digest, RENDER, links=links, **ENVELOPE)))
    part = read.get_body(("html",))
    assert part is not None
    assert part["Content-Transfer-Encoding"] == encoding
    assert text.strip() in body(read, "html")
