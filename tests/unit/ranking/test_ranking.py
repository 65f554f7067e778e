"""What a reader gets of an edition, in which order and for which reason."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from app.digest.ranking import CHUNK, RankingSettings, rank
from app.models import Article, ArticleKind, Profile
from tests.unit.digest.conftest import MakeArticle

ALL = RankingSettings(papers=100, news=100)


async def test_papers_come_in_the_order_in_which_they_fit_with_the_reason(
    reader: Profile, make_article: MakeArticle
) -> None:
    edition = [
        make_article(title="Cooking with gas", abstract="Nothing of interest."),
        make_article(title="Networks of roads", abstract="A neural view on traffic."),
        make_article(title="A graph neural network", abstract="Graphs, made robust.", categories=["cs.LG"]),
        make_article(title="On rings", abstract="Algebra.", categories=["cs.DS", "math.RA"]),
        make_article(title="Shapes of a protein", abstract="How they come about."),
    ]  # fmt: skip
    ranking = await rank(edition, reader, ALL)
    assert [(item.article.title, item.fit.reason) for item in ranking.papers] == [
        ("A graph neural network", "matches: graph neural networks, robustness; category cs.LG"),
        ("Networks of roads", "close to: graph neural networks"),
        ("Shapes of a protein", "shares words with your interests and goals"),
        ("On rings", "category math.RA"),
        ("Cooking with gas", "no match with the profile; one of the newest"),
    ]
    scores = [item.fit.score for item in ranking.papers]
    assert scores[0] == 1
    assert scores[-1] == 0
    assert scores == sorted(scores, reverse=True)
    assert ranking.papers[0].fit.interests == ("graph neural networks", "robustness")


async def test_papers_and_news_are_ranked_apart_and_cut_to_their_numbers(
    reader: Profile, make_article: MakeArticle
) -> None:
    papers = [make_article(abstract="robustness " * n) for n in range(1, 6)]
    news = [make_article(kind=ArticleKind.NEWS, title=f"robust {n}") for n in range(4)]
    ranking = await rank([*papers, *news], reader, RankingSettings(papers=2, news=1))
    assert (len(ranking.papers), len(ranking.news), ranking.considered) == (2, 1, 9)
    assert ranking.papers[0].fit.score == ranking.news[0].fit.score == 1


async def test_words_that_programmers_write_with_signs_are_words(reader: Profile, make_article: MakeArticle) -> None:
    edition = [make_article(title="C of tranquillity"), make_article(title="Modules in C++")]
    ranking = await rank(edition, reader, ALL)
    assert ranking.papers[0].fit.reason == "matches: C++"
    assert ranking.papers[1].fit.score == 0


async def test_a_profile_that_says_nothing_gets_the_newest(make_article: MakeArticle) -> None:
    edition = [make_article(published_at=datetime(2025, 3, 4, hour, tzinfo=UTC)) for hour in (5, 7, 6)]
    edition.append(make_article(published_at=None))
    ranking = await rank(edition, Profile(name="Nobody", interests=("the",)), ALL)
    assert [item.article.published_at and item.article.published_at.hour for item in ranking.papers] == [7, 6, 5, None]
    assert {item.fit.score for item in ranking.papers} == {0}


@pytest.mark.parametrize("edition", [0, 1])
async def test_an_edition_may_be_empty_or_wordless(edition: int, reader: Profile, make_article: MakeArticle) -> None:
    ranking = await rank([make_article(title="…", abstract="")] * edition, reader, ALL)
    assert len(ranking.papers) == edition


async def test_the_order_of_the_edition_does_not_matter(reader: Profile, make_article: MakeArticle) -> None:
    edition = [make_article(abstract=f"graph neural network number {n % 3}") for n in range(20)]
    assert (await rank(edition, reader, ALL)).papers == (await rank(edition[::-1], reader, ALL)).papers


class Counted(list[Article]):
    """An edition that counts how many of its articles were taken."""

    taken = 0

    def __iter__(self) -> Iterator[Article]:
        for article in super().__iter__():
            self.taken += 1
            yield article


async def test_the_loop_has_its_turn_between_chunks_of_a_large_edition(
    reader: Profile, make_article: MakeArticle
) -> None:
    edition = Counted(make_article(abstract="graph robust network " * 20) for _ in range(1_500))
    turns = [0]

    async def take_turns() -> None:
        while True:
            turns.append(edition.taken)
            await asyncio.sleep(0)

    watching = asyncio.create_task(take_turns())
    await rank(edition, reader, ALL)
    watching.cancel()
    assert max(later - earlier for earlier, later in pairwise(turns)) == CHUNK
    # As many turns again while duplicates are looked for, though nothing is taken from the edition then.
    assert len(turns) >= 2 * len(edition) / CHUNK


def test_importing_the_digest_brings_no_numpy_and_no_openai() -> None:
    """Both processes import these modules, and only the worker's work needs the heavy ones."""
    heavy = "'numpy', 'bm25s', 'openai', 'numba', 'jax', 'scipy'"
    code = (
        "import sys, app.digest.ranking, app.digest.analysis, app.digest.rendering, app.sources.feeds;"
        f"print([name for name in ({heavy},) if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_ranking_prints_nothing_and_imports_no_accelerator() -> None:
    code = (
        "import asyncio, sys; from app.digest.ranking import *; from app.models import *;"
        "a = Article(source='s', external_id='1', kind='paper', title='graph', abstract='a graph');"
        "asyncio.run(rank([a], Profile(name='A', interests=('graph',)), RankingSettings()));"
        "assert 'bm25s' in sys.modules and not {'numba', 'jax', 'scipy'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
