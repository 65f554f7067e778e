"""Feedback on papers: liked papers raise similar articles by their number, disliked papers lower them slightly."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.articles import Article
from app.models.digests import ReasonKind
from app.models.profiles import Profile, RatedPaper
from app.ranking.calibration import THRESHOLD
from app.ranking.feedback_model import MOST_PAPERS, FeedbackModel
from app.ranking.feedback_scores import MOST_COMPARED
from app.ranking.index import Index
from app.ranking.interest_query import InterestQuery
from app.ranking.scores import Scores
from app.ranking.vectors import MARK, MOST_TERMS, vector_of
from app.ranking.words import term
from tests.support.articles import DAY, MakeArticle, index_of, ranked, rated
from tests.support.ranking_editions import filling

READER = Profile(name="Ada", interests=("graph neural networks",))
ICE = "Crystals in a glacier remember how the ice has flowed, and a radar reads that memory from the surface."
OLD = datetime(2019, 3, 4, tzinfo=UTC)
BIRDS = "Starlings in a murmuration follow their seven nearest neighbours, as cameras on a roof have shown."
GRAPHS = "A graph neural network for traffic in cities, learned from sensors beside the roads."


def chance(index: Index, article: Article, papers: list[RatedPaper]) -> float:
    """The score of an article of a window for a reader who says nothing but these papers."""
    reader = Profile(name="Ada")
    scores = Scores(index, reader, InterestQuery.of(reader), FeedbackModel.of(papers, DAY))
    return float(scores.chance[index.articles.index(article)])


async def test_an_article_similar_to_a_liked_paper_names_it(make_article: MakeArticle) -> None:
    edition = [make_article(title="Flow", abstract=ICE), make_article(title="Swarms", abstract=BIRDS)]
    edition += [make_article(title="Cities", abstract=GRAPHS)]
    assert [item.article.title for item in (await ranked(edition, READER)).papers] == ["Cities"]
    liked = rated(
        make_article(title="Ice remembers", abstract="How crystals of a glacier keep the memory of its flow.")
    )
    ranking = await ranked(edition, READER, papers=[liked])
    assert {item.article.title for item in ranking.papers} == {"Cities", "Flow"}
    (reason,) = next(item.reasons for item in ranking.papers if item.article.title == "Flow")
    assert reason.kind is ReasonKind.LIKED
    assert (
        reason.text
        == "close to \N{LEFT DOUBLE QUOTATION MARK}Ice remembers\N{RIGHT DOUBLE QUOTATION MARK}, which you liked"
    )
    assert {"crystals", "glacier", "memory"} & set(reason.words)
    assert reason.change == "undo your feedback on that paper"


async def test_more_liked_papers_have_more_weight(make_article: MakeArticle) -> None:
    edition = [make_article(title="Flow", abstract=ICE), make_article(title="Cities", abstract=GRAPHS)]
    likes = [rated(make_article(title=f"Ice {n}", abstract=f"{ICE} And {n} more.")) for n in range(40)]
    first = [
        (await ranked(edition, READER, papers=likes[:count])).papers[0].article.title for count in (0, 1, 40)
    ]  # fmt: skip
    assert (first[0], first[-1]) == ("Cities", "Flow")


async def test_disliked_papers_lower_scores_slightly(make_article: MakeArticle) -> None:
    edition = [
        make_article(title="Cities", abstract=GRAPHS),
        make_article(title="Molecules", abstract="Graph neural networks for molecules."),
        *(make_article(title=f"Soil {n}", abstract=f"Rain and seeds in field f{n} of year y{n}.") for n in range(60)),
    ]
    before = {item.article.title: item.score for item in (await ranked(edition, READER)).papers}
    disliked = rated(make_article(title="Cities again", abstract=GRAPHS), liked=False)
    after = {item.article.title: item.score for item in (await ranked(edition, READER, papers=[disliked])).papers}
    assert after.get("Cities", 0) < before["Cities"]
    assert after["Molecules"] > 0.8 * before["Molecules"]


async def test_recent_feedback_has_more_weight(make_article: MakeArticle) -> None:
    edition = [make_article(title="Flow", abstract=ICE), make_article(title="Swarms", abstract=BIRDS)]
    nobody = Profile(name="Ada")
    old, new = datetime(2019, 3, 4, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
    for ice, birds, first in ((old, new, "Swarms"), (new, old, "Flow")):
        papers = [
            rated(make_article(title="Ice", abstract=ICE), rated_at=ice),
            rated(make_article(title="Birds", abstract=BIRDS), rated_at=birds),
        ]
        ranking = await ranked(edition, nobody, papers=papers)
        assert ranking.papers[0].article.title == first
        assert len(ranking.papers) == 2, "old likes still count"


async def test_papers_too_old_to_compare_one_by_one_count(make_article: MakeArticle) -> None:
    birds = make_article(title="Swarms", abstract=BIRDS)
    index = await index_of([make_article(title="Flow", abstract=ICE), birds, *filling(make_article, 300)])
    new = [rated(make_article(title=f"Ice {n}", abstract=f"{ICE} And {n} more.")) for n in range(MOST_COMPARED)]
    old = [rated(make_article(title=f"Birds {n}", abstract=BIRDS), rated_at=OLD) for n in range(30)]
    assert chance(index, birds, new) < THRESHOLD, "likes that are like nothing here lift nothing"
    assert chance(index, birds, [*new, *old]) > 1.3 * chance(index, birds, new)


async def test_a_liked_paper_s_words_count_more_in_a_title(make_article: MakeArticle) -> None:
    wanted, other = "Glacier crystals", "Wooden ladders"
    one, two = (" ".join(f"{name}{n}" for n in range(20)) for name in ("plain", "usual"))
    in_title = make_article(title=wanted, abstract=f"{one} {other}")
    in_abstract = make_article(title=other, abstract=f"{two} {wanted}")
    index = await index_of([in_title, in_abstract, *filling(make_article, 300)])
    liked = [rated(make_article(title="Ice", abstract=ICE))]
    assert 1 - chance(index, in_title, liked) < 0.5 * (1 - chance(index, in_abstract, liked))


def test_a_vector_has_hashes_and_counts_of_stems() -> None:
    raw = base64.b64decode(vector_of("Graphs", "a graph of the graphs, 2 networks").removeprefix(MARK))
    pairs = sorted([(term("graph"), 3), (term("network"), 1)])
    assert raw == b"".join(number.to_bytes(4, "little") for number, _ in pairs) + bytes(count for _, count in pairs)


@given(st.text(max_size=20_000), st.text(max_size=20_000))
def test_any_text_gives_a_short_readable_vector(title: str, abstract: str) -> None:
    vector = vector_of(title, abstract)
    assert len(vector) <= len(MARK) + (MOST_TERMS * 5 + 2) // 3 * 4
    paper = RatedPaper(title=title, liked=True, rated_at=datetime(2025, 3, 4, tzinfo=UTC), vector=vector)
    model = FeedbackModel.of([paper], DAY)
    assert len(model.liked) == (1 if vector else 0)


@pytest.mark.parametrize("vector", ["", "?", "AAAA", "é", "A" * 5_000_000, base64.b64encode(b"\0" * 6).decode()])
async def test_an_invalid_vector_has_no_effect(make_article: MakeArticle, vector: str) -> None:
    paper = RatedPaper(title="Broken", liked=True, rated_at=datetime(2025, 3, 4, tzinfo=UTC), vector=vector)
    edition = [make_article(title="Cities", abstract=GRAPHS)]
    assert (await ranked(edition, READER, papers=[paper])).papers == (await ranked(edition, READER)).papers


async def test_random_bytes_that_decode_as_a_vector_are_harmless(make_article: MakeArticle) -> None:
    vector = base64.b64encode(bytes(range(250, 256)) * 50).decode()
    papers = [
        RatedPaper(title="Noise", liked=liked, rated_at=datetime(2025, 3, 4, tzinfo=UTC), vector=vector)
        for liked in (True, False)
    ]
    edition = [make_article(title="Cities", abstract=GRAPHS)]
    assert len((await ranked(edition, READER, papers=papers)).papers) == 1


def test_only_the_newest_of_many_papers_are_used() -> None:
    papers = [
        RatedPaper(
            title=str(n),
            liked=True,
            rated_at=datetime(2000 + n // 50, 1, 1, tzinfo=UTC),
            vector=vector_of("a b", "ice"),
        )
        for n in range(MOST_PAPERS + 100)
    ]
    titles = FeedbackModel.of(papers, DAY).liked.titles
    assert len(titles) == MOST_PAPERS
    assert "0" not in titles
