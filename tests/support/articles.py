"""Articles, and their ranking for a profile."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from app.models.articles import Article
from app.models.profiles import Profile, RatedPaper
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
