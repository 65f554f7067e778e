"""What is shown on a paper besides its text: venue, comment, code, PDF and DOI."""

import time

import pytest

from app.models.articles import Article, ArticleKind
from app.sources.paper_links import code_url, links_of, venue


def paper(**changes: object) -> Article:
    return Article.model_validate(
        {"source": "arxiv", "external_id": "1", "kind": ArticleKind.PAPER, "title": "T"} | changes
    )


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("Our code is at https://github.com/ada/sparse-net.", "https://github.com/ada/sparse-net"),
        ("Code: github.com/ada/net_2, data: zenodo.org/1", "https://github.com/ada/net_2"),
        ("(see http://www.gitlab.com/group/project/-/tree/main)", "https://gitlab.com/group/project"),
        (r"\url{https://GitHub.com/Ada/Net}", "https://GitHub.com/Ada/Net"),
        ("models: https://huggingface.co/datasets/ada/ice", "https://huggingface.co/datasets/ada/ice"),
        ("https://codeberg.org/a/b.git", "https://codeberg.org/a/b.git"),
        ("Ask ada@github.com/x/y or see notgithub.com/x/y", None),
        ("https://github.com/ada", None),
        ("https://ada.github.io/project", None),
        ("", None),
    ],
)
def test_the_code_of_a_paper_is_found(text: str, url: str | None) -> None:
    assert code_url(text) == url


def test_the_comment_comes_before_the_abstract() -> None:
    assert code_url("", "at github.com/a/b") == "https://github.com/a/b"
    assert code_url("at github.com/c/d", "at github.com/a/b") == "https://github.com/c/d"


@pytest.mark.parametrize("text", ["github.com/" * 5_000, "github.com/" + "a" * 100_000, "https://" * 10_000])
def test_a_hostile_text_costs_no_time(text: str) -> None:
    begun = time.process_time()
    code_url(text)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("journal_ref", "comment", "shown"),
    [
        ("Journal of Ice 7 (2026) 1-9", "", "Journal of Ice 7 (2026) 1-9"),
        ("", "12 pages, accepted at ICML 2026", "12 pages, accepted at ICML 2026"),
        ("Ice 7, 1.", "9 pages.", "Ice 7, 1. 9 pages"),
        ("", "", ""),
    ],
)
def test_venue_and_comment_are_one_line(journal_ref: str, comment: str, shown: str) -> None:
    assert venue(paper(journal_ref=journal_ref, comment=comment)) == shown
    assert len(venue(paper(comment="x" * 300))) == 200


def test_links_have_labels_and_are_safe() -> None:
    full = paper(
        pdf_url="https://arxiv.org/pdf/1", doi="10.1000/a<b>c#d?e", code_url="https://github.com/a/b", comment="c"
    )
    assert links_of(full) == [
        ("PDF", "https://arxiv.org/pdf/1"),
        ("DOI", "https://doi.org/10.1000/a%3Cb%3Ec%23d%3Fe"),
        ("Code", "https://github.com/a/b"),
    ]
    assert links_of(paper(pdf_url="javascript:alert(1)", code_url="javascript:alert(1)")) == []
