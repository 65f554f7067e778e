"""The index: term frequencies over all days of a window, and the same results for every layout."""

import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from app.models.articles import Article
from app.models.profiles import Profile
from app.ranking.concepts import Concepts
from app.ranking.counts import count
from app.ranking.feedback_model import FeedbackModel
from app.ranking.index import Index
from app.ranking.interest_query import InterestQuery
from app.ranking.text_vectors import Vectors
from app.ranking.word_scores import WordScores
from benchmarks.ranking_edition import Inventor
from tests.support.articles import DAY, MakeArticle, index_of, rated
from tests.support.loop_blocking import longest_hold


@pytest.fixture(scope="module")
def invented() -> Sequence[Article]:
    return Inventor().edition(papers=400, readers=1, likes=1).articles


async def test_several_days_are_indexed_like_one(invented: Sequence[Article]) -> None:
    """Articles of a window are ordered by day; the rest equals one index of all articles."""
    days, whole = await index_of(invented[:250], invented[250:]), await index_of(invented)
    place = {article.external_id: number for number, article in enumerate(whole.articles)}
    order = [place[article.external_id] for article in days.articles]
    query = InterestQuery.of(Profile(name="Ada", interests=(invented[7].title, invented[90].title)))
    assert np.array_equal(days.terms, whole.terms)
    one, other = WordScores(days, query), WordScores(whole, query)
    assert np.allclose(one.strength, other.strength[order], rtol=1e-4)
    assert all(np.array_equal(a, b[order]) for a, b in zip(one.full, other.full, strict=True))
    direction = np.linspace(0, 1, len(whole.terms), dtype=np.float32)
    assert np.allclose(days.cosines(direction), whole.cosines(direction)[order], rtol=1e-3)


async def test_similarities_are_the_cosines_of_the_whole_vectors(invented: Sequence[Article]) -> None:
    """The layout (a matrix of common terms, pairs of rare ones) affects only speed."""
    index = await index_of(invented)
    dense = np.zeros((len(index.articles), len(index.terms)))
    for number in range(len(index.articles)):
        part = index.rows.of(number)
        dense[number, index.rows.terms[part]] = index.weights[part]
    some = list(range(0, 400, 9))
    assert np.allclose(index.pairwise_cosines(some), dense[some] @ dense[some].T, atol=1e-5)
    assert np.allclose(np.diag(index.pairwise_cosines(some)), 1, atol=1e-5)
    liked = Vectors.of(index, FeedbackModel.of([rated(article) for article in invented[::40]], DAY).liked)
    texts = np.zeros((len(liked.weights), len(index.terms)))
    texts[liked.owner, liked.numbers] = liked.values
    found = liked.similarities(index, np.arange(len(index.articles)))
    assert np.allclose(found, dense @ texts.T, atol=1e-5)
    assert found.max() > 0.98, "a paper is similar to itself, although the index counts titles twice"


async def test_terms_with_equal_hash_prefixes_are_found(
    invented: Sequence[Article], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terms are found by the first bits of their hashes, and by binary search where many share them."""
    index = await index_of(invented)
    queried = np.sort(np.concatenate([index.terms[::3], np.arange(0, 2**32, 2**20, dtype=np.uint32)]))
    numbers, known = index.find(queried)
    assert np.array_equal(known, np.isin(queried, index.terms))
    assert np.array_equal(index.terms[numbers[known]], queried[known])
    monkeypatch.setattr("app.ranking.index._DEEPEST", 0)
    again, same = index.find(queried)
    assert np.array_equal(same, known)
    assert np.array_equal(again[same], numbers[known])


async def test_a_term_that_no_article_has_is_the_rarest(make_article: MakeArticle) -> None:
    index = await index_of([make_article(abstract="graph network")])
    known, unknown = (Concepts(index).rarity(((stem,),)) for stem in ("graph", "glacier"))
    assert 0 < known < unknown


async def test_a_day_is_ordered_from_its_newest_article(make_article: MakeArticle) -> None:
    """Equal scores are then equal orders, whatever order the database returned."""
    noon = datetime(2025, 3, 4, 12, tzinfo=UTC)
    names = [("b", "arxiv", 0), ("a", "medrxiv", 2), ("a", "biorxiv", 2), ("c", "arxiv", None), ("d", "arxiv", 1)]
    articles = [
        make_article(
            external_id=name,
            source=source,
            title=f"Graph number{place} thing{place}",
            abstract=f"On story{place} of case{place} with part{place}",
            published_at=None if hours is None else noon + timedelta(hours=hours),
        )
        for place, (name, source, hours) in enumerate(names)
    ]
    for given in (articles, articles[::-1]):
        index = await index_of(given)
        found = [(article.external_id, article.source) for article in index.articles]
        assert found == [("a", "biorxiv"), ("a", "medrxiv"), ("d", "arxiv"), ("b", "arxiv"), ("c", "arxiv")]


async def test_building_takes_short_steps_and_little_memory() -> None:
    articles = Inventor().edition(papers=1_500, readers=1, likes=1).articles

    async def build() -> Index:
        return await Index.of([await count(articles)], DAY)

    index, hold = await longest_hold(build, 0.02)
    assert not isinstance(index, Exception), index
    assert hold < 0.02
    tracemalloc.start()
    try:
        index = await Index.of([await count(articles)], DAY)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index.articles) == 1_500
    assert used < 12e6
