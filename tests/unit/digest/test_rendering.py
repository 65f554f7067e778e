"""The digest's page: its content, and that text of articles is always escaped."""

import asyncio
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from app.digest.rendering import DigestRenderer
from app.models.articles import SAMPLE_CATEGORY, Article, ArticleKind, EditionStatus
from app.models.digests import AnalysisMethod, Digest, DigestItem, FallbackReason, ModelUsage, Reason, ReasonKind
from app.models.profiles import Profile
from tests.support.articles import MakeArticle


class Page(HTMLParser):
    """Collects a page's text, tags and links."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data

    @property
    def text(self) -> str:
        return " ".join(self.words.split())


def item(article: Article, **changes: Any) -> DigestItem:
    plain: dict[str, Any] = {
        "article": article,
        "score": 0.456,
        "reason": "matches: radar",
        "summary": "It remembers.",
        "analysis": AnalysisMethod.EXTRACTIVE,
    }
    return DigestItem.model_validate(plain | changes)


def digest(*papers: DigestItem, **changes: Any) -> Digest:
    plain: dict[str, Any] = {
        "source_date": date(2025, 3, 4),
        "profile": Profile(name="Ada"),
        "introduction": "Of the 1,204 items, some were chosen.",
        "papers": papers,
        "news": (),
        "considered": 1_204,
        "edition_status": EditionStatus.COMPLETED,
    }
    return Digest.model_validate(plain | changes)


def page(*papers: DigestItem, **changes: Any) -> Page:
    return Page(rendered(digest(*papers, **changes)))


def rendered(digest: Digest) -> str:
    return asyncio.run(DigestRenderer().render(digest))


def test_the_page_shows_reason_links_and_source_of_each_item(make_article: MakeArticle) -> None:
    paper = make_article(
        title="Ice remembers",
        url="https://arxiv.org/abs/2513.00001",
        pdf_url="https://arxiv.org/pdf/2513.00001",
        authors=["A", "B", "C", "D", "E", "F"],
        categories=["cs.LG", "stat.ML"],
    )
    news = make_article(kind=ArticleKind.NEWS, source="feed:Quanta", title="A thaw", url="https://q.example/1")
    shown = page(item(make_article()), item(paper, key_points=["Twice."]), news=(item(news),))
    for text in (
        "Tuesday, 4 March 2025", "selected for Ada", "1,204 read", "Ice remembers", "By A, B, C, D and 2 others",
        "arXiv · cs.LG, stat.ML", "It remembers.", "Twice.", "Matches: radar · Excerpt from the abstract · PDF", "46",
        "In the news", "Quanta", "A thaw",
    ):  # fmt: skip
        assert text in shown.text
    links = {value for name, value in shown.attributes if name == "href"}
    assert links == {"https://arxiv.org/abs/2513.00001", "https://arxiv.org/pdf/2513.00001", "https://q.example/1"}


def test_the_page_names_the_method_and_cost_of_summaries(make_article: MakeArticle) -> None:
    usage = ModelUsage(model="tiny-1", calls=2, input_tokens=900, output_tokens=300, failures=1)
    shown = page(item(make_article()), item(make_article(), analysis=AnalysisMethod.MODEL), usage=usage)
    assert shown.text.count("Summary by tiny-1") == 1
    assert "1 of 2 summaries were written by tiny-1 (2 calls, 1,200 tokens); the others are excerpts" in shown.text
    assert "Summaries are excerpts from the abstracts" in page(item(make_article())).text


def test_the_page_says_why_there_are_excerpts(make_article: MakeArticle) -> None:
    cut = {FallbackReason.CUT_OFF: 2, FallbackReason.REFUSED: 1}
    items = [item(make_article()) for _ in range(4)]
    shown = page(*items, usage=ModelUsage(model="tiny-1", calls=2, fallbacks=cut)).text
    why = "because the language model wrote no summary: its response was cut off (2); it refused (1)."
    assert f"Excerpts. 3 items quote the abstract, {why}" in shown
    one = page(items[0], usage=ModelUsage(model="tiny-1", fallbacks={FallbackReason.BUDGET: 1})).text
    assert "1 item quotes the abstract, because the language model wrote no summary: the limit for one digest" in one
    assert "Excerpts." not in page(*items).text, "without a model, excerpts are no failure"


def test_every_fallback_reason_has_a_text_and_is_documented(make_article: MakeArticle) -> None:
    models = (Path(__file__).parents[3] / "docs" / "MODELS.md").read_text(encoding="utf-8")
    for reason in FallbackReason:
        shown = page(item(make_article()), usage=ModelUsage(model="tiny-1", fallbacks={reason: 1})).text
        assert "wrote no summary: " in shown
        assert f"| `{reason.value}` |" in models


def test_estimated_tokens_are_marked(make_article: MakeArticle) -> None:
    usage = ModelUsage(model="tiny-1", calls=1, input_tokens=900, output_tokens=300, estimated_calls=1)
    shown = page(item(make_article(), analysis=AnalysisMethod.MODEL), usage=usage)
    assert "written by tiny-1 (1 call, about 1,200 tokens)" in shown.text


def test_summaries_that_others_paid_have_no_cost(make_article: MakeArticle) -> None:
    shown = page(item(make_article(), analysis=AnalysisMethod.MODEL), usage=ModelUsage(model="tiny-1"))
    assert "1 of 1 summaries were written by tiny-1 (in calls for other digests)." in shown.text


def test_a_partial_edition_names_the_failed_source(make_article: MakeArticle) -> None:
    shown = page(
        item(make_article()),
        edition_status=EditionStatus.PARTIAL,
        source_errors={"feed:Nature": "www.nature.example answered <503>", "arxiv": "no answer"},
    )
    assert "Incomplete. Nature and arXiv could not be read: new items from there are missing here." in shown.text
    assert "503" not in shown.text, "the cause is for operators"
    assert "no answer" not in shown.text
    assert "Incomplete" not in page(item(make_article())).text


def test_only_a_sample_is_marked_as_a_sample(make_article: MakeArticle) -> None:
    shown = page(item(make_article(categories=["cs.LG", SAMPLE_CATEGORY])), item(make_article()))
    assert "Sample edition." in shown.text
    assert shown.text.count("Sample") == 3
    assert SAMPLE_CATEGORY not in shown.text
    assert "Sample" not in page(item(make_article())).text


HOSTILE = '</style></p><script>alert(1)</script><img src=x onerror="alert(2)">{{ 7*7 }}'


def test_an_articles_text_is_escaped(make_article: MakeArticle) -> None:
    article = make_article(
        source=f"feed:{HOSTILE}", title=HOSTILE, authors=[HOSTILE], categories=[HOSTILE],
        url="javascript:alert(1)", pdf_url='https://a.example/"onclick="alert(1)',
    )  # fmt: skip
    hostile = item(article, reason=HOSTILE, summary=HOSTILE, key_points=[HOSTILE])
    shown = page(
        hostile, hostile, news=(hostile,), introduction=HOSTILE, profile=Profile(name=HOSTILE),
        source_errors={HOSTILE: HOSTILE}, usage=ModelUsage(model=HOSTILE),
    )  # fmt: skip
    assert not shown.tags & {"script", "img", "iframe", "link", "form", "object", "svg"}
    assert not [name for name, _ in shown.attributes if name.startswith("on") or name in {"href", "src"}]
    assert HOSTILE in shown.text


def test_the_page_loads_nothing_and_has_its_styles_once(make_article: MakeArticle) -> None:
    source = rendered(digest(*[item(make_article())] * 9))
    assert not re.search(r"@import|@font-face|url\(|src=", source)
    head, _, page_body = source.partition("<body")
    base, media = re.findall(r"<style>(.*?)</style>", head, re.DOTALL)
    assert ".nameplate{font-size:68px" in base
    assert "@" not in base, "a program that cannot read an at-rule keeps the other rules"
    assert "@media (prefers-color-scheme:dark){" in media
    assert "@media (max-width:600px){" in media
    assert max(len(base), len(media)) <= 8_192, "Gmail ignores a longer style element"
    assert len(re.findall(" style=", page_body)) == 3, "only the frame has inline styles"


def test_every_class_of_the_page_has_a_style(make_article: MakeArticle) -> None:
    paper = make_article(categories=["cs.LG", SAMPLE_CATEGORY], journal_ref="J. Ice 3", pdf_url="https://x.example/p")
    items = [item(paper, key_points=["One."])] * 2
    source = rendered(digest(*items, news=items, source_errors={"arxiv": "x"}, edition_status=EditionStatus.PARTIAL))
    styled = set(re.findall(r"\.([a-z]+)", "".join(re.findall(r"<style>(.*?)</style>", source, re.DOTALL))))
    used = {name for names in re.findall(r'class="([^"]+)"', source) for name in names.split()}
    assert used - styled == {"preview", "news"}


def test_the_preview_is_the_three_best_titles(make_article: MakeArticle) -> None:
    papers = [item(make_article(title=f"Paper {n}"), score=0.9 - n / 10) for n in range(3)]
    news = item(make_article(kind=ArticleKind.NEWS, title="News"), score=0.85)
    source = rendered(digest(*papers, news=(news,)))
    preview = re.search(r'<div class="preview"[^>]*>(.*?)</div>', source)
    assert preview is not None
    assert preview[1] == "Paper 0 · News · Paper 1"
    empty = re.search(r'<div class="preview"[^>]*>(.*?)</div>', rendered(digest()))
    assert empty is not None
    assert empty[1] == "Of the 1,204 items, some were chosen."


def test_scores_are_explained_only_where_they_are_shown(make_article: MakeArticle) -> None:
    legend = "The number beside a paper is its score: 100 = a perfect match."
    assert legend in page(item(make_article()), item(make_article())).text
    assert "perfect match" not in page(item(make_article())).text, "the first item has no figure"
    assert "perfect match" not in page(news=(item(make_article(kind=ArticleKind.NEWS)),) * 3).text


def test_matched_words_are_named_only_if_they_are_visible(make_article: MakeArticle) -> None:
    reason = Reason(
        kind=ReasonKind.INTEREST, text="matches: radar", words=("radar", "glacier", "hidden"), change="edit it"
    )
    paper = make_article(title="Ice", abstract="A hidden word.")
    shown = page(item(paper, summary="Glaciers melt.", reasons=(reason,))).text
    assert "Matches: radar (glacier) · Excerpt" in shown


@pytest.mark.parametrize("letters", ["x", "é"])
def test_the_largest_digest_is_smaller_than_the_mail_limit(make_article: MakeArticle, letters: str) -> None:
    def longest(kind: ArticleKind) -> DigestItem:
        article = make_article(
            kind=kind, title=letters * 120, authors=[letters * 25] * 9, url="https://a.example/" + "u" * 80,
            pdf_url="https://a.example/" + "p" * 80, categories=["astro-ph.CO"] * 9,
        )  # fmt: skip
        return item(article, reason="r" * 120, summary=letters * 480, key_points=[letters * 200] * 3)

    papers = [longest(ArticleKind.PAPER) for _ in range(12)]
    source = rendered(digest(*papers, news=[longest(ArticleKind.NEWS) for _ in range(6)]))
    assert len(source.encode()) < 100_000


def test_an_empty_digest_has_a_page() -> None:
    assert "Of the 1,204 items, some were chosen." in page().text
