"""An item whose every text has markup: page and Atom feed show the text and contain none of its elements."""

from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import pytest
from lxml import etree, html

from app.digest.feed import atom_feed
from app.digest.rendering import DigestRenderer
from app.models.articles import Article, ArticleKind, EditionStatus
from app.models.digests import AnalysisMethod, Digest, DigestItem, Reason, ReasonKind
from app.models.profiles import Profile
from app.persistence.digests import ArchivedItem

DAY: Final = date(2026, 11, 24)
NOW: Final = datetime(2026, 11, 24, 6, tzinfo=UTC)
ATOM: Final = {"a": "http://www.w3.org/2005/Atom"}
OF_ARTICLE: Final = ("title", "journal_ref", "comment")
OF_ITEM: Final = ("reason", "summary")


def text_of(field: str) -> str:
    return f"{field}</p><script>{field}</script><b>{field}</b>&lt;i&gt;\"'>"


def hostile_item() -> DigestItem:
    lists: dict[str, Any] = {field: (text_of(field),) for field in ("authors", "categories")}
    texts = {field: text_of(field) for field in OF_ARTICLE}
    article = Article(source="feed:<b>source</b>", external_id="1", kind=ArticleKind.PAPER, **texts, **lists)
    return DigestItem(
        article=article,
        score=0.5,
        analysis=AnalysisMethod.EXTRACTIVE,
        key_points=(text_of("point"),),
        reasons=(
            Reason(kind=ReasonKind.INTEREST, text=text_of("why"), words=(text_of("word"),), change=text_of("change")),
        ),
        **{field: text_of(field) for field in OF_ITEM},
    )


def feed_content() -> str:
    archived = ArchivedItem(local_day=DAY, written_at=NOW, kind=ArticleKind.PAPER, place=0, item=hostile_item())
    feed = etree.fromstring(atom_feed(UUID(int=1), text_of("name"), "https://x.example/f", NOW, [archived]))
    (content,) = feed.xpath("//a:entry/a:content/text()", namespaces=ATOM)
    return str(content)


async def page() -> str:
    profile = Profile(name=text_of("name"), interests=(text_of("interest"),))
    digest = Digest(
        source_date=DAY, profile=profile, introduction=text_of("introduction"), papers=(hostile_item(),), news=(),
        considered=1, edition_status=EditionStatus.PARTIAL, source_errors={text_of("failed"): text_of("error")},
    )  # fmt: skip
    return await DigestRenderer().render(digest)


@pytest.mark.parametrize("place", ["feed", "page"])
async def test_no_text_of_an_item_becomes_markup(place: str) -> None:
    shown = html.fromstring(feed_content() if place == "feed" else await page())
    assert shown.xpath("//script | //b | //i") == []
    # The page begins a reason with a capital letter.
    text = " ".join(shown.text_content().split()).lower()
    for field in (*OF_ITEM, "point", "journal_ref", "comment"):
        assert f"{field}</p><script>{field}</script><b>{field}</b>&lt;i&gt;" in text, field
