"""Which articles of an edition a reader gets, in which order and with which reason."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from app.models.articles import Article, ArticleKind
from app.models.digests import ReasonKind
from app.models.profiles import Profile
from app.ranking.counts import CHUNK
from app.ranking.ranking import Ranked, RankingSettings, rank
from tests.support.articles import ALL, MakeArticle, index_of, ranked

FILLING = "Some words on soil, rain and seeds that nobody of these readers asks for."


def titles(items: Sequence[Ranked]) -> list[str]:
    return [item.article.title for item in items]


async def test_papers_are_ordered_by_score_and_have_a_reason(reader: Profile, make_article: MakeArticle) -> None:
    edition = [
        make_article(title="Cooking with gas", abstract="Nothing of interest."),
        make_article(title="Networks of roads", abstract="A neural view on traffic."),
        make_article(title="A graph neural network", abstract="Graphs, made robust.", categories=["cs.LG"]),
        make_article(title="On rings", abstract="Algebra.", categories=["cs.DS", "math.RA"]),
        make_article(title="Protein folding", abstract="Proteins fold, we follow."),
    ]  # fmt: skip
    ranking = await ranked(edition, reader)
    assert [(item.article.title, "; ".join(reason.text for reason in item.reasons)) for item in ranking.papers] == [
        ("A graph neural network", "matches: graph neural networks, robustness; category cs.LG"),
    ]
    scores = [item.score for item in ranking.papers]
    assert scores == sorted(scores, reverse=True)
    assert 0.75 < scores[0] < 1
    assert ranking.papers[0].interests == ("graph neural networks", "robustness")


async def test_a_reason_names_the_matching_terms(reader: Profile, make_article: MakeArticle) -> None:
    ranking = await ranked([make_article(title="Robust networks on graphs", categories=["cs.LG"])], reader)
    by_kind = {reason.kind: reason for reason in ranking.papers[0].reasons}
    assert set(by_kind[ReasonKind.INTEREST].words) == {"robust"}
    assert by_kind[ReasonKind.INTEREST].change == "edit your interests"
    assert by_kind[ReasonKind.CATEGORY].change == "edit your categories"


async def test_papers_and_news_have_separate_ranks_and_limits(reader: Profile, make_article: MakeArticle) -> None:
    papers = [make_article(abstract="robustness " * n + f"of thing{n}") for n in range(1, 6)]
    news = [make_article(kind=ArticleKind.NEWS, title=f"robust {n}") for n in range(4)]
    ranking = await ranked([*papers, *news], reader, RankingSettings(papers=2, news=1))
    assert (len(ranking.papers), len(ranking.news), ranking.considered) == (2, 1, 9)
    assert {item.article.kind for item in ranking.papers} == {ArticleKind.PAPER}


async def test_terms_with_signs_such_as_c_plus_plus_are_words(reader: Profile, make_article: MakeArticle) -> None:
    ranking = await ranked([make_article(title="C of tranquillity"), make_article(title="Modules in C++")], reader)
    assert titles(ranking.papers) == ["Modules in C++"]
    assert ranking.papers[0].reasons[0].text == "matches: C++"


async def test_an_empty_profile_gets_the_newest(make_article: MakeArticle) -> None:
    edition = [make_article(published_at=datetime(2025, 3, 4, hour, tzinfo=UTC)) for hour in (5, 7, 6)]
    edition.append(make_article(published_at=None))
    ranking = await ranked(edition, Profile(name="Nobody", interests=("the",)))
    assert [item.article.published_at and item.article.published_at.hour for item in ranking.papers] == [7, 6, 5, None]
    assert {item.score for item in ranking.papers} == {0}
    assert {reason.kind for item in ranking.papers for reason in item.reasons} == {ReasonKind.NEWEST}


async def test_a_profile_of_categories_gets_their_papers_first(make_article: MakeArticle) -> None:
    edition = [make_article(categories=[name]) for name in ("cs.DB", "math.RA", "cs.LG")]
    ranking = await ranked(edition, Profile(name="Ada", categories=("cs.LG", "math")))
    assert [item.article.categories[0] for item in ranking.papers][2:] == ["cs.DB"]
    assert ranking.papers[0].reasons[0].kind is ReasonKind.CATEGORY


@pytest.mark.parametrize("size", [0, 1])
async def test_an_edition_can_be_empty_or_without_text(size: int, reader: Profile, make_article: MakeArticle) -> None:
    ranking = await ranked([make_article(title="…", abstract="")] * size, Profile(name="Ada"))
    assert len(ranking.papers) == size
    assert (await ranked([make_article(title="…", abstract="")] * size, reader)).papers == ()


async def test_articles_without_text_are_each_selected_once(make_article: MakeArticle) -> None:
    ranking = await ranked([make_article(title="…", url=f"https://a.example/{n}") for n in range(5)], Profile(name="A"))
    assert len({item.article.external_id for item in ranking.papers}) == len(ranking.papers) == 5


async def test_the_order_of_the_edition_does_not_matter(reader: Profile, make_article: MakeArticle) -> None:
    edition = [make_article(abstract=f"graph neural network number {n % 3}") for n in range(20)]
    assert (await ranked(edition, reader)).papers == (await ranked(edition[::-1], reader)).papers


async def test_scores_are_comparable_between_days(reader: Profile, make_article: MakeArticle) -> None:
    good, poor = make_article(title="A robust graph neural network"), make_article(title="Networks of tall trees")
    others = [make_article(abstract=f"On thing{n} and stuff{n}. {FILLING} Case {n}.") for n in range(300)]
    thin, rich = await ranked([good], reader), await ranked([good, poor, *others], reader)
    assert thin.papers[0].score == pytest.approx(rich.papers[0].score, abs=0.15)
    alone = await ranked([poor], reader)
    assert max((item.score for item in alone.papers), default=0) < 0.75 * thin.papers[0].score, (
        "poor matches are not selected"
    )


async def test_articles_below_the_threshold_are_not_sent(reader: Profile, make_article: MakeArticle) -> None:
    passing = make_article(abstract=f"{FILLING * 8} One network of pipes. {FILLING * 4}")
    named = make_article(abstract=f"{FILLING} About robustness, in passing, it says nothing more than that.")
    others = [make_article(abstract=f"Networks of roots{n}, pipe{n} and leaf{n}.") for n in range(40)]
    ranking = await ranked([passing, named, *others], reader)
    shown = {item.article.external_id for item in ranking.papers}
    assert named.external_id in shown, "an article that contains an interest in full is selected"
    assert passing.external_id not in shown


async def test_a_model_can_reorder_good_articles(reader: Profile, make_article: MakeArticle) -> None:
    edition = [make_article(title=f"Robust {word} networks") for word in ("graph", "road", "tree")]
    index = await index_of([*edition, make_article(title="Cooking")])
    seen: list[str] = []

    async def backwards(articles: Sequence[Article]) -> Sequence[int]:
        seen.extend(article.title for article in articles)
        return range(len(articles))[::-1]

    plain = await rank(index, reader, ALL)
    ranking = await rank(index, reader, ALL, reorder=backwards)
    assert titles(ranking.papers) == titles(plain.papers)[::-1] == seen[::-1]
    assert "Cooking" not in seen


class CountingArticles(list[Article]):
    """An edition that counts how many of its articles were read."""

    taken = 0

    def __iter__(self) -> Iterator[Article]:
        for article in super().__iter__():
            self.taken += 1
            yield article


async def test_ranking_a_large_edition_does_not_hold_the_loop(reader: Profile, make_article: MakeArticle) -> None:
    edition = CountingArticles(make_article(abstract=f"graph robust network {n} " * 20) for n in range(1_500))
    turns = [0]

    async def take_turns() -> None:
        while True:
            turns.append(edition.taken)
            await asyncio.sleep(0)

    watching = asyncio.create_task(take_turns())
    await ranked(edition, reader)
    watching.cancel()
    assert max(later - earlier for earlier, later in pairwise(turns)) == CHUNK
    # As many loop iterations again while duplicates are detected, names are read and words are counted.
    assert len(turns) >= 4 * len(edition) / CHUNK


def test_the_api_computes_vectors_without_numpy() -> None:
    code = (
        "import sys, app.ranking.vectors; app.ranking.vectors.vector_of('A graph', 'of words');"
        "print([name for name in ('numpy', 'openai', 'bm25s') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("[]\n", "")
