"""The selection among good articles: variety, a slot for each interest, followed authors, excluded words."""

from collections.abc import Sequence

import pytest

from app.models.articles import Article
from app.models.digests import ReasonKind
from app.models.profiles import Profile
from app.ranking.counts import count
from app.ranking.index import Index
from app.ranking.ranking import Ranking, RankingSettings, rank
from tests.support.articles import ALL, DAY, MakeArticle, ranked

READER = Profile(name="Ada", interests=("graph neural networks", "glacier radar"))
PARTS = [
    "edges",
    "nodes",
    "motifs",
    "layers",
    "depth",
    "width",
    "noise",
    "labels",
    "trees",
    "walks",
    "flows",
    "cuts",
    "paths",
    "hubs",
    "rings",
    "loops",
]


def graph_paper(make_article: MakeArticle, number: int) -> Article:
    """One of many articles on the same subject, each about another part of it."""
    part = PARTS[number % len(PARTS)]
    abstract = f"Graph neural networks on graphs, neural and of networks, by {part}. We study {part} and more {part}."
    return make_article(title=f"Graph neural networks: {part}", abstract=abstract)


def shown(ranking: Ranking) -> list[str]:
    return [item.article.title for item in ranking.papers]


async def test_each_interest_with_a_good_match_gets_a_slot(make_article: MakeArticle) -> None:
    radar = make_article(
        title="What the ice keeps", abstract="A glacier as a radar sees it, for once in long and in many other words."
    )
    edition = [*(graph_paper(make_article, number) for number in range(12)), radar]
    ranking = await ranked(edition, READER, RankingSettings(papers=4))
    scores = {item.article.title: item.score for item in (await ranked(edition, READER)).papers}
    assert sum(score > scores[radar.title] for score in scores.values()) >= 4, "the scores alone would exclude it"
    assert radar.title in shown(ranking)
    assert len(ranking.papers) == 4


async def test_a_poor_match_of_an_interest_gets_no_slot(make_article: MakeArticle) -> None:
    filling = " ".join(f"filling{number} of{number} all{number} kinds{number}" for number in range(60))
    poor = make_article(title="Weather and all", abstract=f"{filling} glacier {filling} radar {filling}")
    edition = [*(graph_paper(make_article, number) for number in range(12)), poor]
    assert poor.title not in shown(await ranked(edition, READER, RankingSettings(papers=4)))


async def test_similar_articles_do_not_fill_the_digest(make_article: MakeArticle) -> None:
    """Of eight similar papers and two others with nearly the same score, four slots include both others."""
    reader = Profile(name="Ada", interests=("graph neural networks",))
    edition = [
        graph_paper(make_article, 0).model_copy(
            update={"external_id": f"1.{n}", "title": f"Graph neural networks {PARTS[n]} edges"}
        )
        for n in range(8)
    ]
    others = [
        make_article(
            title="Graphs for chemists", abstract="Bonds and molecules as a graph; neural potentials; networks."
        ),
        make_article(
            title="Roads and rails", abstract="Traffic on networks, told by a neural graph of stations and trains."
        ),
    ]
    titles = shown(await ranked([*edition, *others], reader, RankingSettings(papers=4)))
    assert {other.title for other in others} <= set(titles)


async def test_a_paper_of_two_days_is_shown_once(make_article: MakeArticle) -> None:
    text = " ".join(f"word{number}" for number in range(40))
    first = make_article(title="Graph neural networks", abstract=f"A graph of neural networks. {text}")
    again = first.model_copy(update={"external_id": "again", "abstract": f"{first.abstract} Revised."})
    index = await Index.of([await count([first]), await count([again])], DAY)
    assert len(index.articles) == 2
    assert len((await rank(index, READER, ALL)).papers) == 1


@pytest.mark.parametrize(
    ("followed", "printed", "is_one"),
    [
        ("Yann LeCun", "Yann A. LeCun", True),
        ("Yann LeCun", "LeCun, Yann", True),
        ("Yann LeCun", "LeCun, Y.", True),
        ("Y. LeCun", "Yann LeCun", True),
        ("Zoë Müller", "Zoe Muller", True),
        ("Søren Łukasz", "Soren Lukasz", True),
        ("Ångström, A.", "A\u030angstro\u0308m, A.", True),
        ("王小明", "王小明", True),
        ("Yann LeCun", "Yves LeCun", False),
        ("Yann LeCun", "Yann Le", False),
        ("LeCun", "Yann LeCun", False),
        ("...", "...", False),
    ],
)
async def test_a_followed_author_is_always_shown(
    make_article: MakeArticle, followed: str, printed: str, is_one: bool
) -> None:
    reader = Profile(name="Ada", interests=("graph neural networks",), authors=(followed,), exclude=("soil",))
    paper = make_article(title="On soil and rain", authors=["Somebody Else", printed])
    edition = [*(graph_paper(make_article, number) for number in range(12)), paper]
    ranking = await ranked(edition, reader, RankingSettings(papers=3))
    assert (paper.title in shown(ranking)) is is_one
    if is_one:
        reasons = {item.article.title: item.reasons for item in ranking.papers}[paper.title]
        assert reasons[0].kind is ReasonKind.AUTHOR
        assert reasons[0].text == f"a new paper by {printed}, whom you follow"


def excluding(*phrases: str) -> Profile:
    return Profile(name="Ada", interests=("graph neural networks",), exclude=phrases)


@pytest.mark.parametrize(
    ("phrases", "left"),
    [
        (("traffic",), ["Graphs of language models", "Models of a language of graphs"]),
        (("language model",), ["Models of a language of graphs", "Traffic graphs"]),
        (("Language-Models", "TRAFFIC"), ["Models of a language of graphs"]),
        (("the",), ["Graphs of language models", "Models of a language of graphs", "Traffic graphs"]),
        (("graph",), []),
    ],
)
async def test_excluded_words_remove_articles(
    make_article: MakeArticle, phrases: Sequence[str], left: list[str]
) -> None:
    titles = ("Graphs of language models", "Models of a language of graphs", "Traffic graphs")
    edition = [make_article(title=title, abstract="A neural network.") for title in titles]
    assert sorted(shown(await ranked(edition, excluding(*phrases)))) == left


async def test_excluded_articles_use_no_slots(make_article: MakeArticle) -> None:
    unwanted = [graph_paper(make_article, number) for number in range(len(PARTS))]
    unwanted += [
        make_article(
            title=f"Graph neural networks, volume v{n}", abstract=f"Graph neural networks in study s{n}, t{n}."
        )
        for n in range(60)
    ]
    wanted = make_article(title="Neural views on a network", abstract="Of a graph, for a change, and not of much else.")
    reader = Profile(name="Ada", interests=("graph neural networks",), exclude=("graph neural networks",))
    assert shown(await ranked([*unwanted, wanted], reader)) == [wanted.title]


async def test_a_long_digest_is_filled(make_article: MakeArticle) -> None:
    edition = [
        make_article(title=f"Graph neural networks, volume v{n}", abstract=f"Networks in study s{n}, of t{n} and u{n}.")
        for n in range(80)
    ]
    reader = Profile(name="Ada", interests=("graph neural networks",))
    assert len((await ranked(edition, reader, RankingSettings(papers=50))).papers) == 50
