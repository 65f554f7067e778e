"""The introduction paragraph of a digest."""

from datetime import date

from app.digest.introduction import introduction
from app.ranking.ranking import Ranked, Ranking
from tests.support.articles import MakeArticle

DAY = date(2025, 3, 4)


def test_it_names_the_counts_and_the_interests_covered(make_article: MakeArticle) -> None:
    papers = tuple(Ranked(make_article(), 1.0, (), ("radar", "ice")[:count]) for count in (2, 1))
    ranking = Ranking(papers, (Ranked(make_article(), 1.0, (), ()),), considered=1_204, duplicates=3)
    assert introduction(DAY, ranking) == (
        "Of the 1,204 items that appeared on Tuesday, 4 March 2025, 2 papers and 1 news item were selected for you. "
        "3 repeats were omitted. Your interests covered: radar (2), ice (1)."
    )


def test_it_names_no_interest_that_is_not_covered(make_article: MakeArticle) -> None:
    ranking = Ranking((Ranked(make_article(), 0.0, (), ()),), (), considered=1, duplicates=0)
    assert introduction(DAY, ranking) == (
        "Of the 1 item that appeared on Tuesday, 4 March 2025, 1 paper was selected for you. "
        "None of them matches one of your interests fully; these are the closest."
    )


def test_a_day_without_a_good_match_is_named() -> None:
    assert introduction(DAY, Ranking((), (), considered=1_204, duplicates=0)) == (
        "None of the 1,204 items that appeared on Tuesday, 4 March 2025 matched your interests closely enough."
    )


def test_an_empty_day_is_named() -> None:
    assert introduction(DAY, Ranking((), (), 0, 0)).startswith("Nothing to report: no source had an item for Tuesday")
