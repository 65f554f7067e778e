"""Conversion of an entry's values to a paper and its publication, shared by all formats."""

import re
from dataclasses import dataclass
from typing import Final

from app.imports.entries import MAX_KEY, AcceptedEntry, LibraryEntry, RejectedEntry
from app.models.articles import Article, ArticleKind, Publication
from app.sources.arxiv_id import arxiv_id, mentioned_arxiv_id
from app.sources.dates import PartialDate
from app.sources.doi import doi, doi_in_link
from app.sources.text import MAX_ABSTRACT, MAX_NAME, MAX_TITLE, mended_link, plain

_ARXIV_DOI: Final = "10.48550/arxiv."
_DASHES: Final = re.compile(r"\s?(?:[\u2010-\u2015\u2212]|--+)\s?")
# A bare number such as 1234.5678 in another field is not an arXiv id.
_NAMED: Final = re.compile(r"arxiv|\babs/", re.IGNORECASE)
NO_IDENTITY: Final = "the entry has no title, no DOI and no arXiv id"


@dataclass(frozen=True, slots=True)
class Described:
    """The values of an entry as text without markup. `mentions`: texts that may contain an arXiv id."""

    line: int
    key: str
    title: str = ""
    abstract: str = ""
    authors: tuple[str, ...] = ()
    doi: str = ""
    eprint: str = ""
    links: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    date: PartialDate | None = None
    entry_type: str = "misc"
    container: str = ""
    volume: str = ""
    issue: str = ""
    pages: str = ""
    publisher: str = ""

    def entry(self) -> LibraryEntry:
        """Accept the entry if it has a title, a DOI or an arXiv id; otherwise reject it."""
        title = plain(self.title, MAX_TITLE)
        found_doi = doi(self.doi) or next((found for link in self.links if (found := doi_in_link(link))), None)
        paper = self._arxiv_id(found_doi)
        if not (title or found_doi or paper):
            return RejectedEntry(self.line, plain(self.key, MAX_KEY), NO_IDENTITY)
        article = Article(
            source="manual",
            external_id="",
            kind=ArticleKind.PAPER,
            title=title,
            abstract=plain(self.abstract, MAX_ABSTRACT),
            authors=self.authors,
            url=next((link for each in self.links if (link := mended_link(each))), None),
            published_at=self.date.begins if self.date else None,
            arxiv_id=paper,
            doi=found_doi,
        )
        return AcceptedEntry(self.line, plain(self.key, MAX_KEY), article, self._publication())

    def _arxiv_id(self, found_doi: str | None) -> str | None:
        if self.eprint and (found := mentioned_arxiv_id(self.eprint)):
            return found
        if found_doi and found_doi.startswith(_ARXIV_DOI):
            return arxiv_id(found_doi.removeprefix(_ARXIV_DOI))
        texts = (*self.links, *(text for text in self.mentions if _NAMED.search(text)))
        return next((found for text in texts if (found := mentioned_arxiv_id(text))), None)

    def _publication(self) -> Publication:
        return Publication(
            entry_type=plain(self.entry_type, MAX_NAME),
            container=plain(self.container, MAX_TITLE),
            volume=plain(self.volume, MAX_NAME),
            issue=plain(self.issue, MAX_NAME),
            pages=_DASHES.sub("-", plain(self.pages, MAX_NAME)),
            publisher=plain(self.publisher, MAX_TITLE),
            date=str(self.date) if self.date else "",
        )
