"""With 5 MB of worst-case text, no step of writing a digest takes more than 150 ms."""

from collections.abc import Callable
from datetime import date
from functools import partial

import pytest

from app.digest.extractive import Extractor, sentences
from app.digest.model_response import InvalidModelResponse, parse_summary
from app.models.articles import Article, ArticleKind
from app.models.profiles import Profile
from app.ranking.counts import count
from app.ranking.index import Index
from app.ranking.interest_query import InterestQuery
from app.ranking.ranking import Ranking, RankingSettings, rank
from app.ranking.words import Stems, words
from tests.support.loop_blocking import longest_hold, shortest

LONGEST = 0.15
READER = Profile(name="Ada", interests=("graph neural networks", "C++"), goals="robust " * 200)
SENTENCE = "We begin with a sentence that is long enough to be one. And another one follows, which is as long. "
WORST = [
    "@", ",", "(", "<", "a", "A. ", "1", "1.1", ". A", ". ", " ", "\u0301", "\u4e2d", "{", "}", '{"', '["', "e.g. ",
    "we ", "this ", "C++ ", "#", "\u0130", "\ufb03", "state-of-", "ing", "yyy", "1 ", "x1 ",
]  # fmt: skip


def article(text: str, number: int = 0) -> Article:
    return Article(source="a", external_id=str(number), kind=ArticleKind.PAPER, title=text[:300], abstract=text)


def answered(text: str) -> None:
    with pytest.raises(InvalidModelResponse):
        parse_summary(text)


@pytest.mark.parametrize(
    "work",
    [
        sentences,
        lambda text: Extractor(READER).extract(article(text)),
        answered,
        words,
        lambda text: Stems().of_text(text),
        lambda text: InterestQuery.of(READER.model_copy(update={"goals": text})),
    ],
    ids=["sentences", "extract", "answer", "words", "stems", "profile"],
)
@pytest.mark.parametrize("size", [200, 6_000, 20_000, 5_000_000])
def test_a_large_text_does_not_hold_the_loop(work: Callable[[str], object], size: int) -> None:
    for piece in WORST:
        text = piece * (size // len(piece))
        for whole in (text, f"{SENTENCE}{text}", f"{text} x x("):
            assert shortest(partial(work, whole), LONGEST) < LONGEST, piece


async def indexed_and_ranked(articles: list[Article]) -> Ranking:
    index = await Index.of([await count(articles)], date(2026, 3, 4))
    return await rank(index, READER, RankingSettings())


@pytest.mark.parametrize("piece", WORST)
async def test_ranking_large_articles_does_not_hold_the_loop(piece: str) -> None:
    articles = [article(piece * (6_000 // len(piece)) + str(number), number) for number in range(150)]
    ranking, hold = await longest_hold(lambda: indexed_and_ranked(articles), LONGEST)
    assert not isinstance(ranking, Exception), ranking
    assert hold < LONGEST
