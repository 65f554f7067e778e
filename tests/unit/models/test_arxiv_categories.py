"""arXiv's categories: which there are, their sets in OAI-PMH, and the nearest ones to a wrong name."""

import pytest

from app.models.arxiv_categories import CATEGORIES, category_problem, classes_of, nearest_categories, oai_set


@pytest.mark.parametrize(
    ("category", "name"),
    [
        ("cs.AI", "cs:cs:AI"),
        ("hep-th", "physics:hep-th"),
        ("math", "math:math"),
        ("astro-ph.CO", "physics:astro-ph:CO"),
    ],
)
def test_a_category_has_its_oai_set(category: str, name: str) -> None:
    assert oai_set(category) == name


def test_archives_contain_their_categories() -> None:
    assert classes_of("econ") == ("econ.EM", "econ.GN", "econ.TH")
    assert classes_of("hep-th") == classes_of("cs.AI") == classes_of("nothing") == ()
    assert len(CATEGORIES) == 155 + 11, "the categories, and the archives that have subject classes"


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("cs.ai", "cs.AI"), ("CS.AI", "cs.AI"), ("cs_LG", "cs.LG"), ("cs.ML", "stat.ML"), ("hep.th", "hep-th"),
        ("quant-phy", "quant-ph"), ("math.CX", "math.CV"), ("cmp-lg", "cs.CL"), ("q-bio.NCC", "q-bio.NC"),
    ],
)  # fmt: skip
def test_a_wrong_name_has_nearest_ones(wrong: str, nearest: str) -> None:
    assert nearest in nearest_categories(wrong)
    problem = category_problem(wrong)
    assert problem is not None
    assert problem.startswith(f"'{wrong}' is not an arXiv category: did you mean ")
    assert nearest in problem


def test_a_name_like_none_gets_the_list_of_all() -> None:
    assert (
        category_problem("x" * 10_000)
        == f"'{'x' * 40}' is not an arXiv category: see https://arxiv.org/category_taxonomy"
    )
    assert all(category_problem(name) is None for name in CATEGORIES)
