"""Which articles of an edition are duplicates."""

import pytest

from app.models.articles import Article, ArticleKind
from tests.support.articles import MakeArticle, index_of

WORDS = [f"word{number}" for number in range(200)]
TEXT = " ".join(WORDS[:80])


async def kept(articles: list[Article]) -> set[str]:
    index = await index_of(articles)
    assert index.days[0].repeats == len(articles) - len(index.articles)
    return {article.external_id for article in index.articles}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"url": "https://arxiv.org/abs/2501.00001v1"}, {"url": "http://arxiv.org/abs/2501.00001"}),
        ({"url": "https://arxiv.org/abs/2501.00001v1"}, {"pdf_url": "https://arxiv.org/pdf/2501.00001v2"}),
        ({"url": "https://a.example/x#top"}, {"url": "https://a.example/x?utm_source=rss"}),
        ({"title": "Ice remembers, and flows"}, {"title": "ICE  REMEMBERS AND FLOWS!"}),
        ({"abstract": TEXT}, {"abstract": TEXT.replace("word20", "else")}),
        ({"abstract": TEXT}, {"abstract": f"Abroad. {TEXT}"}),
    ],
)
async def test_duplicates_are_kept_once(
    make_article: MakeArticle, one: dict[str, object], other: dict[str, object]
) -> None:
    assert len(await kept([make_article(**one), make_article(**other)])) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"url": "https://a.example/x?id=1"}, {"url": "https://a.example/x?id=2"}),
        ({"title": "Weekly briefing"}, {"title": "Weekly briefing"}),
        ({"abstract": TEXT}, {"abstract": " ".join(WORDS[60:140])}),
        ({"abstract": " ".join(WORDS[:20] + WORDS[50:110])}, {"abstract": " ".join(WORDS[:20] + WORDS[120:180])}),
        ({"abstract": TEXT}, {"abstract": " ".join(reversed(WORDS[:80]))}),
        ({}, {}),
    ],
)
async def test_different_stories_are_both_kept(
    make_article: MakeArticle, one: dict[str, object], other: dict[str, object]
) -> None:
    assert len(await kept([make_article(**one), make_article(**other)])) == 2


async def test_the_most_complete_copy_is_kept(make_article: MakeArticle) -> None:
    title = "One title for all of them"
    news = make_article(title=title, kind=ArticleKind.NEWS, abstract=TEXT + TEXT)
    brief = make_article(title=title, abstract="Short.")
    full = make_article(title=title, abstract=TEXT)
    printed = make_article(title=title, abstract="Short.", pdf_url="https://arxiv.org/pdf/2513.00001")
    assert await kept([news, brief, full]) == {full.external_id}
    assert await kept([news, brief, full, printed]) == {printed.external_id}
    assert await kept([news, brief]) == {brief.external_id}


async def test_common_opening_boilerplate_makes_no_duplicates(make_article: MakeArticle) -> None:
    open_sender = " ".join(WORDS[:15])
    articles = [
        make_article(abstract=f"{open_sender} {' '.join(f'own{n}x{i}' for i in range(60))}") for n in range(300)
    ]
    assert len(await kept(articles)) == 300
