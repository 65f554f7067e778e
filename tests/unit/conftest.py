"""A reader, articles that differ where a test says so, and what a reader gets of them."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from app.models import Article, ArticleKind, Profile, RatedPaper
from app.ranking.counts import count
from app.ranking.index import Index
from app.ranking.ranking import Ranking, RankingSettings, rank
from app.ranking.vectors import vector_of

MakeArticle = Callable[..., Article]
DAY = date(2025, 3, 4)
ALL = RankingSettings(papers=100, news=100)


async def index_of(*days: Sequence[Article]) -> Index:
    return await Index.of([await count(day) for day in days], DAY)


async def ranked(
    articles: Sequence[Article],
    profile: Profile,
    settings: RankingSettings = ALL,
    papers: Sequence[RatedPaper] = (),
) -> Ranking:
    return await rank(await index_of(articles), profile, settings, papers)


def rated(article: Article, *, liked: bool = True, rated_at: datetime = datetime(2025, 3, 4, tzinfo=UTC)) -> RatedPaper:
    vector = vector_of(article.title, article.abstract)
    return RatedPaper(title=article.title, liked=liked, rated_at=rated_at, vector=vector)


@pytest.fixture
def reader() -> Profile:
    return Profile(
        name="Ada",
        title="Graph learning engineer",
        goals="Follow protein folding.",
        interests=("graph neural networks", "robustness", "C++"),
        categories=("cs.LG", "math"),
    )


@pytest.fixture
def make_article() -> MakeArticle:
    """Build an article; each call without an `external_id` is another one."""
    count = 0

    def make(**changes: Any) -> Article:
        nonlocal count
        count += 1
        plain: dict[str, Any] = {
            "source": "arxiv",
            "external_id": f"2513.{count:05d}",
            "kind": ArticleKind.PAPER,
            "title": f"Untitled {count}",
            "published_at": datetime(2025, 3, 4, 12, tzinfo=UTC),
        }
        return Article.model_validate(plain | changes)

    return make
