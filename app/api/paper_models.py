"""The models of requests and responses about readers' papers."""

import re
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from app.api.models import RequestBody
from app.api.paging import NextCursor
from app.models.articles import Article, ArticleKind, Publication
from app.persistence.reader_papers import MAX_PAPERS_PER_CALL, FeedbackChange, ReaderPaper
from app.sources.arxiv_id import arxiv_id
from app.sources.doi import doi
from app.sources.text import MAX_ABSTRACT, MAX_AUTHORS, MAX_LINK, MAX_NAME, MAX_TITLE, plain, safe_link

# arXiv knows `math/0309136`, not `math.GT/0309136`.
_SUBJECT = re.compile(r"\.[A-Z]{2}(?=/)")


class PaperRequest(RequestBody):
    """A paper, identified by its arXiv id, DOI or title, and the reader's feedback."""

    arxiv_id: Annotated[str, Field(max_length=200, examples=["2005.14165"])] | None = None
    doi: Annotated[str, Field(max_length=300, examples=["10.1038/s41586-021-03819-2"])] | None = None
    title: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TITLE)] | None = None
    abstract: Annotated[str, StringConstraints(max_length=MAX_ABSTRACT)] = ""
    authors: Annotated[list[Annotated[str, StringConstraints(max_length=MAX_NAME)]], Field(max_length=MAX_AUTHORS)] = (
        Field([])
    )
    url: Annotated[str, StringConstraints(max_length=MAX_LINK)] | None = None
    liked: bool | None = Field(None, description="Null removes the rating; omitted, it does not change.")
    saved: bool | None = None

    @field_validator("arxiv_id")
    @classmethod
    def _checked_arxiv_id(cls, value: str | None) -> str | None:
        found = arxiv_id(value) if value is not None else None
        if value is not None and found is None:
            raise ValueError("this is not an arXiv id such as 2005.14165 or hep-th/9901001")
        return _SUBJECT.sub("", found) if found else None

    @field_validator("doi")
    @classmethod
    def _checked_doi(cls, value: str | None) -> str | None:
        found = doi(value)
        if value is not None and found is None:
            raise ValueError("this is not a DOI such as 10.1038/s41586-021-03819-2")
        return found

    @field_validator("title", "abstract")
    @classmethod
    def _plain_text(cls, value: str | None) -> str | None:
        return plain(value, MAX_ABSTRACT) if value is not None else None

    @model_validator(mode="after")
    def _has_paper_and_feedback(self) -> Self:
        if not (self.arxiv_id or self.doi or self.title):
            raise ValueError("a paper needs an arxiv_id, a doi or a title")
        if not self.feedback:
            raise ValueError("feedback is missing: set liked or saved")
        return self

    @property
    def feedback(self) -> FeedbackChange:
        """The change to store."""
        change: FeedbackChange = {"liked": self.liked} if "liked" in self.model_fields_set else {}
        if self.saved is not None:
            change["saved"] = self.saved
        return change

    @property
    def article(self) -> Article:
        """The paper as an article without a source's id."""
        return Article(
            source="manual",
            external_id="",
            kind=ArticleKind.PAPER,
            title=self.title or "",
            abstract=self.abstract,
            authors=tuple(name for author in self.authors if (name := plain(author, MAX_NAME))),
            url=safe_link(self.url),
            arxiv_id=self.arxiv_id,
            doi=self.doi,
        )


class PapersRequest(RequestBody):
    """A reader's feedback on papers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "papers": [
                        {"arxiv_id": "2005.14165", "liked": True},
                        {"doi": "10.1038/s41586-021-03819-2", "saved": True},
                        {"title": "A survey of storms", "abstract": "We review 50 years of data.", "liked": False},
                    ]
                }
            ]
        },
    )

    papers: Annotated[list[PaperRequest], Field(min_length=1, max_length=MAX_PAPERS_PER_CALL)]


class PaperIds(BaseModel):
    """The papers' ids in the order of the request; null for a paper without any feedback left."""

    paper_ids: list[UUID | None]


class PaperView(BaseModel):
    """A reader's paper. `lookup` is `pending` until arXiv or Crossref is queried, `unknown` if neither has it."""

    paper_id: UUID
    kind: ArticleKind
    title: str | None
    abstract: str
    authors: list[str]
    url: str | None
    published_at: datetime | None
    arxiv_id: str | None
    doi: str | None
    publication: Publication | None
    origin: str = Field(
        description="Where it came from: a source, `manual`, `library` (an imported file) or `zotero` (a connected "
        "library)."
    )
    liked: bool | None
    rated_at: datetime | None
    saved_at: datetime | None
    lookup: Literal["pending", "unknown"] | None
    created_at: datetime

    @classmethod
    def of(cls, paper: ReaderPaper) -> Self:
        """Build the view of `paper`."""
        return cls.model_validate(paper.model_dump(exclude={"looked_up_at"}) | {"lookup": _lookup(paper)})


class PaperList(BaseModel):
    """A page of a reader's papers."""

    papers: list[PaperView]
    next_cursor: NextCursor


def _lookup(paper: ReaderPaper) -> Literal["pending", "unknown"] | None:
    if (paper.arxiv_id or paper.doi) and not paper.abstract and paper.looked_up_at is None:
        return "pending"
    return "unknown" if paper.title is None else None
