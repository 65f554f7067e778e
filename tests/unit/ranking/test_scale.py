"""A score has the same meaning with and without likes and on small days: unwanted articles stay below the threshold."""

import numpy as np

from app.models.articles import Article
from app.ranking.calibration import THRESHOLD
from app.ranking.feedback_model import FeedbackModel
from app.ranking.interest_query import InterestQuery
from app.ranking.scores import Scores
from tests.support.articles import DAY, MakeArticle, index_of, rated
from tests.support.ranking_editions import asking, filling, text_to_sql

READER = asking("text-to-SQL")


async def scores_of(
    articles: list[Article], likes: list[Article], dislikes: tuple[Article, ...] = ()
) -> dict[str, float]:
    index = await index_of(articles)
    papers = [*map(rated, likes), *(rated(each, liked=False) for each in dislikes)]
    found = Scores(index, READER, InterestQuery.of(READER), FeedbackModel.of(papers, DAY)).chance
    return {article.external_id: float(score) for article, score in zip(index.articles, found, strict=True)}


async def test_twenty_likes_lift_nothing_that_nobody_wants(make_article: MakeArticle) -> None:
    wanted = [text_to_sql(make_article, number) for number in range(12)]
    unwanted = filling(make_article, 300)
    liked = [text_to_sql(make_article, number) for number in range(100, 120)]
    for likes in ([], liked[:5], liked):
        found = await scores_of([*wanted, *unwanted], likes)
        above = [found[each.external_id] >= THRESHOLD for each in unwanted if each.external_id in found]
        assert np.mean(above) <= 0.08
        assert np.mean([found[each.external_id] >= THRESHOLD for each in wanted if each.external_id in found]) >= 0.85


async def test_a_score_with_likes_is_as_high_on_a_thin_day(make_article: MakeArticle) -> None:
    wanted, unwanted = text_to_sql(make_article, 1), filling(make_article, 300)
    liked = [text_to_sql(make_article, number) for number in range(100, 120)]
    rich = await scores_of([wanted, *unwanted], liked)
    few = [each for each in unwanted[:8] if "schema" not in each.abstract][:3]
    thin = await scores_of([wanted, *few], liked)
    assert abs(rich[wanted.external_id] - thin[wanted.external_id]) < 0.15
    assert all(thin[each.external_id] < THRESHOLD for each in few)


async def test_a_disliked_paper_moves_what_is_like_it_down(make_article: MakeArticle) -> None:
    edition = [*(text_to_sql(make_article, number) for number in range(6)), *filling(make_article, 200)]
    likes = [text_to_sql(make_article, number) for number in range(100, 106)]
    before, after = await scores_of(edition, likes), await scores_of(edition, likes, (edition[0],))
    assert after[edition[0].external_id] < before[edition[0].external_id]
