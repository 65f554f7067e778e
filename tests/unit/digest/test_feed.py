"""The entries of a reader's Atom feed: their exact content, and how much of an item they have."""

from datetime import UTC, datetime
from typing import Any

import feedparser
import pytest

from app.digest.feed import atom_feed
from app.models.articles import SAMPLE_CATEGORY, ArticleKind
from app.models.digests import AnalysisMethod, DigestItem
from app.persistence.digests import ArchivedItem
from tests.support.digest_items import DAY, READER, item_of

WRITTEN = datetime(2026, 11, 24, 8, tzinfo=UTC)
SAMPLE = "<p>This item is an invented example, used where no real source is configured.</p>"
ITEM = item_of(ArticleKind.PAPER, 1, None, 0.9)


def entry_of(item: DigestItem) -> Any:
    archived = ArchivedItem(local_day=DAY, kind=ArticleKind.PAPER, place=0, item=item, written_at=WRITTEN)
    feed = atom_feed(READER, "Ada", "https://broadsheet.example/feed", WRITTEN, [archived])
    return feedparser.parse(feed, sanitize_html=False, resolve_relative_uris=False).entries[0]


def content_of(item: DigestItem) -> str:
    return str(entry_of(item).content[0].value)


@pytest.mark.parametrize(
    ("method", "by"), [(AnalysisMethod.MODEL, " Summary by a language model."), (AnalysisMethod.EXTRACTIVE, "")]
)
def test_an_entry_has_summary_points_and_reason(method: AnalysisMethod, by: str) -> None:
    item = ITEM.model_copy(update={"analysis": method, "key_points": ("First.", "", "Second.")})
    begin, *paragraphs = content_of(item).removesuffix("</p>").split("</p>")
    assert (begin, paragraphs[:3]) == (
        "<p>What paper 1 says.",
        ["<p>• First.", "<p>• Second.", f"<p>Reason: matches: ice.{by}"],
    )


def test_only_an_invented_item_says_so() -> None:
    categories = {"categories": (*ITEM.article.categories, SAMPLE_CATEGORY)}
    assert content_of(ITEM.model_copy(update={"article": ITEM.article.model_copy(update=categories)})).startswith(
        SAMPLE
    )
    assert SAMPLE not in content_of(ITEM)


@pytest.mark.parametrize(
    ("url", "links"),
    [
        ("https://arxiv.example/abs/1", ["https://arxiv.example/abs/1"]),
        ("https://arxiv.example/\u202e1", []),
        ("javascript:alert(1)", []),
        (None, []),
    ],
)
def test_an_entry_links_to_its_item_if_that_is_safe(url: str | None, links: list[str]) -> None:
    entry = entry_of(ITEM.model_copy(update={"article": ITEM.article.model_copy(update={"url": url})}))
    assert [link.href for link in entry.get("links", [])] == links


def test_an_entry_has_at_most_30_authors_and_10_points() -> None:
    article = ITEM.article.model_copy(update={"authors": tuple(f"A. Author {n}" for n in range(31))})
    points = tuple(f"Point {n}." for n in range(11))
    entry = entry_of(ITEM.model_copy(update={"article": article, "key_points": points}))
    assert [author.name for author in entry.authors] == [f"A. Author {n}" for n in range(30)]
    assert [f"• Point {n}." in entry.content[0].value for n in (0, 9, 10)] == [True, True, False]


def test_a_text_of_an_entry_has_at_most_4000_characters() -> None:
    texts = {"summary": "s" * 4_001, "key_points": ("p" * 4_000,), "reason": "r" * 4_001}
    content = content_of(ITEM.model_copy(update=texts))
    assert f"<p>{'s' * 3_999}…</p>" in content
    assert f"<p>• {'p' * 4_000}</p>" in content
    assert f"<p>Reason: {'r' * 3_999}….</p>" in content
