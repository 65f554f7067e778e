"""Export of papers as RIS (Zotero, EndNote, Mendeley): one tag per line. Values have no line breaks."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from app.digest.citations import authors_of, citation_key, date_of, is_group, parts_of, title_of
from app.models.articles import Publication
from app.persistence.reader_papers import ReaderPaper
from app.sources.text import MAX_ABSTRACT, MAX_TITLE, plain, safe_link

MEDIA_TYPE: Final = "application/x-research-info-systems; charset=utf-8"
_TYPES: Final = {
    "article": "JOUR", "book": "BOOK", "incollection": "CHAP", "inbook": "CHAP", "inproceedings": "CPAPER",
    "conference": "CPAPER", "proceedings": "CONF", "phdthesis": "THES", "mastersthesis": "THES", "techreport": "RPRT",
    "unpublished": "UNPB",
}  # fmt: skip
_PAGES: Final = re.compile(r"(\S+?)-(\S+)")


def ris_entries(papers: Iterable[ReaderPaper]) -> Iterator[str]:
    """Yield an entry for each paper, in order, with the same keys as the BibTeX export."""
    taken = Counter[str]()
    return ("".join(f"{tag}  - {value}\n" for tag, value in _lines(paper, taken)) for paper in papers)


def _lines(paper: ReaderPaper, taken: Counter[str]) -> Iterator[tuple[str, str]]:
    kind = paper.publication.entry_type if paper.publication else ""
    yield "TY", _TYPES.get(kind, "GEN")
    yield "ID", citation_key(paper, taken)
    yield "TI", title_of(paper)
    yield from (("AU", _author(name)) for name in authors_of(paper))
    if paper.publication:
        yield from _published(paper.publication)
    yield from _dated(paper)
    abstract = plain(paper.abstract, MAX_ABSTRACT)
    identified = {"DO": paper.doi, "N1": f"arXiv:{paper.arxiv_id}" if paper.arxiv_id else None}
    named = identified | {"UR": safe_link(paper.url), "AB": abstract}
    yield from ((tag, plain(value, MAX_ABSTRACT)) for tag, value in named.items() if value)
    yield "ER", ""


def _published(publication: Publication) -> Iterator[tuple[str, str]]:
    pages = _PAGES.fullmatch(publication.pages)
    named = {
        "T2": publication.container,
        "VL": publication.volume,
        "IS": publication.issue,
        "SP": pages[1] if pages else publication.pages,
        "EP": pages[2] if pages else "",
        "PB": publication.publisher,
    }
    yield from ((tag, text) for tag, value in named.items() if (text := plain(value, MAX_TITLE)))


def _dated(paper: ReaderPaper) -> Iterator[tuple[str, str]]:
    date = date_of(paper)
    if date is None:
        return
    yield "PY", f"{date[0]:04}"
    if date[1]:
        yield "DA", "/".join([f"{date[0]:04}", *(f"{part:02}" for part in date[1:] if part)])


def _author(name: str) -> str:
    parts = None if is_group(name) else parts_of(name)
    return ", ".join(part for part in (parts[0], parts[1], parts[2]) if part) if parts else name
