"""Papers that callers send: accepted forms, and the messages for invalid ones."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from app.api.paper_models import PaperRequest, PaperView
from app.models.articles import Article, ArticleKind
from app.persistence.reader_papers import BulkFeedback, ReaderPaper

TITLE = {"title": "Of storms"}
NO_ARXIV_ID = "Value error, this is not an arXiv id such as 2005.14165 or hep-th/9901001"
NO_DOI = "Value error, this is not a DOI such as 10.1038/s41586-021-03819-2"
NO_NAME = "Value error, a paper needs an arxiv_id, a doi or a title"
NOTHING = "Value error, feedback is missing: set liked or saved"


@pytest.mark.parametrize(
    ("sent", "location", "message"),
    [
        (TITLE | {"liked": True, "arxiv_id": "x"}, ("arxiv_id",), NO_ARXIV_ID),
        (TITLE | {"liked": True, "arxiv_id": ""}, ("arxiv_id",), NO_ARXIV_ID),
        (TITLE | {"liked": True, "doi": "x"}, ("doi",), NO_DOI),
        (TITLE | {"liked": True, "doi": ""}, ("doi",), NO_DOI),
        ({"liked": True}, (), NO_NAME),
        ({"liked": True, "title": " \0"}, (), NO_NAME),
        ({"liked": True, "arxiv_id": None, "doi": None, "title": None}, (), NO_NAME),
        (TITLE, (), NOTHING),
        (TITLE | {"saved": None}, (), NOTHING),
    ],
)
def test_an_invalid_paper_is_refused_with_the_reason(sent: Any, location: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PaperRequest.model_validate(sent)
    assert [(each["loc"], each["msg"]) for each in refused.value.errors()] == [(location, message)]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"liked": True}, {"liked": True}),
        ({"liked": False}, {"liked": False}),
        ({"liked": None}, {"liked": None}),
        ({"saved": True}, {"saved": True}),
        ({"saved": False}, {"saved": False}),
        ({"liked": None, "saved": None}, {"liked": None}),
        ({"liked": False, "saved": True}, {"liked": False, "saved": True}),
    ],
    ids=str,
)
def test_given_feedback_is_stored_and_omitted_feedback_is_not(said: Any, kept: Any) -> None:
    assert PaperRequest.model_validate(TITLE | said).feedback == kept


def test_query_parameters_apply_to_all_papers_of_a_file() -> None:
    says = {each.value: each.change for each in BulkFeedback}
    assert says == {"liked": {"liked": True}, "disliked": {"liked": False}, "saved": {"saved": True}}


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (
            {"arxiv_id": "https://arxiv.org/abs/2611.00001v3", "doi": "https://doi.org/10.1038/X"},
            {"title": "", "arxiv_id": "2611.00001", "doi": "10.1038/x"},
        ),
        ({"arxiv_id": "math.GT/0309136"}, {"title": "", "arxiv_id": "math/0309136"}),
        (
            {
                "title": " Of <b>storms</b>\0",
                "abstract": "They\n blow.",
                "authors": ["A. B.", " \0", "C.\tD."],
                "url": "https://example.org/x",
            },
            {
                "title": "Of <b>storms</b>",
                "abstract": "They blow.",
                "authors": ("A. B.", "C. D."),
                "url": "https://example.org/x",
            },
        ),
        ({"title": "x", "url": "javascript:alert(1)"}, {"title": "x"}),
    ],
)
def test_a_paper_becomes_an_article_of_plain_text(sent: Any, found: Any) -> None:
    paper = PaperRequest.model_validate(sent | {"liked": True})
    assert paper.article == Article(source="manual", external_id="", kind=ArticleKind.PAPER, **found)


MOMENT = datetime(2026, 3, 4, tzinfo=UTC)
KEPT = ReaderPaper(
    paper_id=UUID(int=1),
    kind=ArticleKind.PAPER,
    title="Of storms",
    abstract="",
    authors=("A. B.",),
    arxiv_id="2611.00001",
    origin="given",
    created_at=MOMENT,
)


@pytest.mark.parametrize(
    ("changed", "lookup"),
    [
        ({}, "pending"),
        ({"title": None}, "pending"),
        ({"looked_up_at": MOMENT}, None),
        ({"looked_up_at": MOMENT, "title": None}, "unknown"),
        ({"abstract": "They blow."}, None),
        ({"arxiv_id": None}, None),
        ({"arxiv_id": None, "title": None}, "unknown"),
        ({"arxiv_id": None, "title": None, "doi": "10.1000/1"}, "pending"),
        ({"arxiv_id": None, "doi": "10.1000/1", "looked_up_at": MOMENT}, None),
    ],
    ids=str,
)
def test_a_paper_tells_whether_it_will_be_looked_up(changed: Any, lookup: str | None) -> None:
    paper = KEPT.model_copy(update=changed)
    shown = PaperView.of(paper).model_dump()
    assert shown == paper.model_dump(exclude={"looked_up_at"}) | {"lookup": lookup, "authors": ["A. B."]}
