"""The keys by which copies of an item are recognized: ordinary, hostile and too short titles."""

import pytest

from app.models.articles import Article, ArticleKind
from app.models.item_keys import item_keys, title_key


def paper(**changes: object) -> Article:
    values = {"source": "feed:x", "external_id": "1", "kind": ArticleKind.PAPER, "title": "T"}
    return Article.model_validate(values | changes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Attention Is All You Need", "attention is all  you need."),
        ("Pré-training: A Survey of $k$-NN", "Pretraining — a survey of k-NN"),
        ("The ﬁrst Straße in Köln, measured", "THE FIRST STRASSE IN KOLN MEASURED"),
        ("Graph\u00a0neural networks for\u200b weather", "Graph neural networks for weather"),
        ("\uff26\uff55\uff4c\uff4c width letters of the world", "Full width letters of the world"),
        ("Über die Größe zäher Flüsse".upper(), "Über die Größe zäher Flüsse"),
    ],
)
def test_equal_titles_have_equal_keys(one: str, other: str) -> None:
    assert title_key(one) == title_key(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Attention is all you need", "Attention is not all you need"),
        ("Notes on graphs and trees, part 1", "Notes on graphs and trees, part 2"),
        ("Learning to see in the dark", "Learning to sea in the dark"),
    ],
)
def test_different_titles_have_different_keys(one: str, other: str) -> None:
    assert title_key(one) != title_key(other)


@pytest.mark.parametrize(
    "title",
    [
        "", " ", "Erratum", "Introduction", "A to B or C", "\U0001f4a9 " * 100, "- - - - - - - - - - - - - - -",
        "Author Correction: Graph neural networks for weather", "This week in machine learning and physics",
        "Daily briefing: what you need to know", "Editorial: the year that was in science",
        "Table of contents, volume 12",
        "\u0301" * 300, "\x00\ud800" * 150,
    ],
)  # fmt: skip
def test_titles_that_are_too_short_give_no_key(title: str) -> None:
    assert title_key(title) is None


def test_a_hostile_title_is_shortened_before_normalization() -> None:
    key = title_key("\ufdfa \ufdfa \ufdfa " + "\ufdfa" * 1_000_000)
    assert key is not None
    assert len(key) <= 18 * 400


def test_the_most_specific_key_comes_first() -> None:
    keys = item_keys(
        paper(arxiv_id="2611.00001", doi="10.1038/x", title="Graph neural networks for weather"),
    )
    assert [key.partition(":")[0] for key in keys] == ["arxiv", "doi", "from", "title"]
    assert keys[:2] == ["arxiv:2611.00001", "doi:10.1038/x"]


def test_an_arxiv_doi_equals_the_arxiv_id() -> None:
    (first, second) = item_keys(paper(doi="10.48550/arxiv.2611.00001"))
    assert (first, second.partition(":")[0]) == ("arxiv:2611.00001", "from")


def test_an_article_without_a_key_is_identified_by_its_source() -> None:
    (key,) = item_keys(paper(external_id="\ud800\x00" * 150))
    assert (key.partition(":")[0], len(key)) == ("from", 37)
    assert item_keys(paper(source="feed:x 1", external_id="1", title="T")) != item_keys(paper(external_id="1 1"))
