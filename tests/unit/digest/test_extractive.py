"""Summaries and key points are sentences of the abstract."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.digest.extractive import MAX_POINT, MAX_POINTS, MAX_SUMMARY, Extractor, sentences
from app.models.articles import Article, ArticleKind
from app.models.profiles import Profile
from tests.support.articles import MakeArticle

SCENE = "Payment graphs never stand still, and models that learn from them grow old."
ASIDE = "The weather was fine on most of the days on which we worked on it."
RESULT = "We propose Sieve, which is 38 times smaller and outperforms all models before it."
MATCH = "Its graph neural networks keep their robustness when edges are forged by an attacker."
END = "The code is available to everybody who asks for it in a letter."
ABSTRACT = f"{SCENE} {ASIDE} {RESULT} {MATCH} {END}"


def test_the_summary_has_the_result_and_the_readers_interests(reader: Profile, make_article: MakeArticle) -> None:
    extract = Extractor(reader).extract(make_article(abstract=ABSTRACT))
    assert extract.summary == f"{RESULT} {MATCH}"
    assert extract.key_points == (SCENE, ASIDE, END)


def test_summaries_differ_between_readers(make_article: MakeArticle) -> None:
    reader = Profile(name="Bo", interests=("fine weather", "working days"))
    assert ASIDE in Extractor(reader).extract(make_article(abstract=ABSTRACT)).summary


def test_a_short_text_is_its_own_summary(reader: Profile, make_article: MakeArticle) -> None:
    extract = Extractor(reader).extract(make_article(abstract=f"{SCENE} {RESULT}"))
    assert (extract.summary, extract.key_points) == (f"{SCENE} {RESULT}", ())


def test_without_an_abstract_there_is_no_summary(reader: Profile, make_article: MakeArticle) -> None:
    assert Extractor(reader).extract(make_article(abstract=" ")).summary == "No abstract available."


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Models such as those of Smith et al. Are old, e.g. Those of last year. They are slow and they are large.", 2),
        ("See Fig. 3 for the results of J. Doe and others. The error is 3.14 in all of the cases.", 2),
        ("Does it work at all, you may ask? It does work, as we shall soon show! (The proofs are in the appendix.)", 3),
        ('They call it "a great step for us." Nobody else says so anywhere at all. (Not that we asked them here.)', 3),
        ("One sentence without any end", 1),
        ("", 0),
    ],
)
def test_abbreviations_do_not_end_a_sentence(text: str, count: int) -> None:
    assert len(sentences(text)) == count
    assert " ".join(sentences(text)) == text


@given(st.text(max_size=3_000))
def test_an_extract_is_short_for_any_abstract(abstract: str) -> None:
    article = Article(source="s", external_id="1", kind=ArticleKind.NEWS, title="t", abstract=abstract)
    extract = Extractor(Profile(name="Ada", interests=("graphs",))).extract(article)
    assert 0 < len(extract.summary) <= MAX_SUMMARY
    assert len(extract.key_points) <= MAX_POINTS
    assert all(len(point) <= MAX_POINT for point in extract.key_points)
