"""The byline and the sections of a paper, as all mails and pages show them."""

import pytest

from app.models.articles import SAMPLE_CATEGORY
from app.sources.bylines import byline, sections
from tests.support.articles import MakeArticle

NAMES = ("Ada", "Bob", "Cy", "Dee", "Eve", "Flo")


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, ""),
        (1, "By Ada"),
        (4, "By Ada, Bob, Cy, Dee"),
        (5, "By Ada, Bob, Cy, Dee and another"),
        (6, "By Ada, Bob, Cy, Dee and 2 others"),
    ],
)
def test_a_byline_names_four_authors_and_counts_the_others(
    make_article: MakeArticle, count: int, expected: str
) -> None:
    assert byline(make_article(authors=NAMES[:count])) == expected


def test_sections_are_three_categories_without_the_sample_mark(make_article: MakeArticle) -> None:
    assert sections(make_article(categories=[SAMPLE_CATEGORY, "a", "b", "c", "d"])) == "a, b, c"
    assert sections(make_article(categories=[])) == ""
