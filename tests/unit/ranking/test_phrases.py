"""An interest of several words matches adjacent words only; reasons name words that are in the paper."""

import pytest

from app.models.articles import Article
from app.models.digests import ReasonKind
from app.ranking.ranking import RankingSettings
from tests.support.articles import MakeArticle, index_of, ranked, rated
from tests.support.ranking_editions import COMMON, asking, filling, text_to_sql

FAR = (
    "We look at a mechanism of decay in the first of many parts, "
    + " ".join(COMMON)
    + ", and at the end at one design."
)


async def reasons_of(make_article: MakeArticle, paper: Article, *interests: str) -> list[tuple[ReasonKind, str]]:
    """The reasons for a paper, which is selected for its author."""
    reader = asking(*interests).model_copy(update={"authors": ("Ada Lovelace",)})
    by_her = paper.model_copy(update={"authors": ("Ada Lovelace",)})
    ranking = await ranked([by_her, *filling(make_article, 200)], reader)
    (found,) = [item for item in ranking.papers if item.article.external_id == paper.external_id]
    return [(reason.kind, reason.text) for reason in found.reasons if reason.kind is not ReasonKind.AUTHOR]


async def test_words_that_are_far_apart_are_no_match(make_article: MakeArticle) -> None:
    paper = make_article(title="On decay", abstract=FAR)
    found = await reasons_of(make_article, paper, "mechanism design")
    assert [text for _, text in found if text.startswith("matches")] == []
    assert found[0] == (
        ReasonKind.WORDS,
        "partly matches: mechanism design (has mechanism and design, not together)",
    )


async def test_words_that_are_far_apart_do_not_pass(make_article: MakeArticle) -> None:
    near = make_article(title="Fair auctions", abstract="The design of mechanisms, for auctions.")
    far = make_article(title="On decay", abstract=FAR)
    ranking = await ranked([near, far, *filling(make_article, 200)], asking("mechanism design"))
    assert [item.article.title for item in ranking.papers] == ["Fair auctions"]
    assert ranking.papers[0].interests == ("mechanism design",)


async def test_one_common_half_is_no_match(make_article: MakeArticle) -> None:
    paper = make_article(title="The structure of courts", abstract="On the structure of appeal. " + " ".join(COMMON))
    ((kind, text),) = await reasons_of(make_article, paper, "protein structure")
    assert (kind, text) == (ReasonKind.WORDS, "shares words with your profile: structure")


@pytest.mark.parametrize(
    ("text", "is_whole"),
    [
        ("Graph neural networks", True),
        ("networks that are neural, on a graph", True),
        ("neural graph networks", True),
        (
            "a graph. " + "Rain and seeds fall. " * 9 + "A neural one. " + "Rain and seeds fall. " * 9 + "Networks.",
            False,
        ),
    ],
)
async def test_a_phrase_is_whole_where_its_words_are_close(
    make_article: MakeArticle, text: str, is_whole: bool
) -> None:
    index = await index_of([make_article(title="x1", abstract=text)])
    ranking = await ranked(list(index.articles), asking("graph neural networks"))
    assert bool(ranking.papers and ranking.papers[0].interests) is is_whole


async def test_a_reason_says_in_which_form_a_paper_has_an_acronym(make_article: MakeArticle) -> None:
    paper = make_article(title="Answers of LLMs", abstract="An LLM answers questions.")
    ranking = await ranked([paper, *filling(make_article, 200)], asking("large language models"))
    (reason,) = ranking.papers[0].reasons
    assert reason.text == "matches: large language models"
    assert reason.words == ("LLMs",)


async def test_a_reader_with_interests_and_likes_is_never_told_of_none(make_article: MakeArticle) -> None:
    """For readers with interests and twenty liked papers, every item has a specific reason."""
    likes = [rated(text_to_sql(make_article, number)) for number in range(20)]
    edition = [*(text_to_sql(make_article, number) for number in range(100, 115)), *filling(make_article, 200)]
    ranking = await ranked(edition, asking("databases", "text-to-SQL"), papers=likes)
    assert ranking.papers
    found_reasons = [reason.text for item in ranking.papers for reason in item.reasons]
    assert not [text for text in found_reasons if "your profile is empty" in text]
    assert {reason.kind for item in ranking.papers for reason in item.reasons} <= {
        ReasonKind.LIKED, ReasonKind.INTEREST, ReasonKind.WORDS, ReasonKind.VARIETY,
    }  # fmt: skip


async def test_an_interest_s_place_is_explained(make_article: MakeArticle) -> None:
    graphs = [
        make_article(title=f"Graph neural networks of kind k{n}", abstract=f"Graph neural networks, g{n} and h{n}.")
        for n in range(12)
    ]
    radar = make_article(title="What the ice keeps", abstract="A glacier, as a radar sees it. " + " ".join(COMMON * 2))
    reader = asking("graph neural networks", "glacier radar")
    ranking = await ranked([*graphs, radar, *filling(make_article, 100)], reader, RankingSettings(papers=4))
    (kept,) = [item for item in ranking.papers if item.article.title == radar.title]
    assert [(reason.kind, reason.text) for reason in kept.reasons] == [
        (ReasonKind.INTEREST, "matches: glacier radar"),
        (
            ReasonKind.VARIETY,
            "the best match of the day for \N{LEFT DOUBLE QUOTATION MARK}glacier radar\N{RIGHT DOUBLE QUOTATION MARK}",
        ),
    ]
