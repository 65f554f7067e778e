"""Export of papers as BibTeX. Text is escaped so that TeX prints it and does not run it.

Libraries that write BibTeX leave escaping to their callers. The encoding is UTF-8, which LaTeX reads since 2018;
keys are ASCII.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from app.digest.citations import MAX_AUTHORS, authors_of, citation_key, date_of, is_group, parts_of, title_of
from app.digest.formulas import formulas
from app.models.articles import Publication
from app.persistence.reader_papers import ReaderPaper
from app.sources.text import MAX_ABSTRACT, MAX_LINK, MAX_TITLE, plain, safe_link

MEDIA_TYPE: Final = "application/x-bibtex; charset=utf-8"
_ARXIV_ID: Final = re.compile(r"\d{4}\.\d{4,5}|[a-z-]{2,12}(\.[A-Za-z-]{2,20})?/\d{7}")
# Styles print it with and without \url, so it has no mark that begins a command, a comment or a formula in TeX.
_DOI: Final = re.compile(r"10\.\d{4,9}/[^\s\\{}%#$^~\"@\x00-\x1f\x7f]{1,200}")

# BibTeX counts braces also after a backslash, so braces are written by name. TeX joins some marks (-- is a dash).
_ESCAPED: Final = str.maketrans(
    {character: rf"\{character}" for character in "$&%#_"}
    | {"\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
)
_LIGATURE: Final = re.compile(r"(?<=-)(?=-)|(?<=`)(?=`)|(?<=')(?=')|(?<=[?!])(?=`)|(?<=,)(?=,)")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_IN_ADDRESS: Final = "-._~:/?#[]@!&'()*+,;=%"
_TYPE: Final = re.compile(r"[a-z][a-z-]{1,30}")
# Not entries, or commands of a style: REVTeX's @control, IEEEtran's @ieeetranbstctl.
_COMMAND_TYPE: Final = re.compile(r"comment|string|preamble|xdata|set|.*control.*|.*ctl")
_IN_BOOKS: Final = frozenset({"inproceedings", "incollection", "inbook", "conference", "proceedings", "inreference"})
_PUBLISHERS: Final = {"phdthesis": "school", "mastersthesis": "school", "thesis": "school", "techreport": "institution"}
_RANGE: Final = re.compile(r"(?<=\w)-(?=\w)")
_MAX_AUTHOR: Final = 3
"""Parts of a name between commas: family, suffix, given."""


def bibtex_entries(papers: Iterable[ReaderPaper]) -> Iterator[str]:
    """Yield an entry for each paper, in their order, each under a key like noether1918invariant.

    A key that is already used gets a letter. With the oldest paper first, papers keep their keys when others are added.
    """
    taken = Counter[str]()
    return (_entry(paper, taken) for paper in papers)


def escaped(text: str) -> str:
    """Return LaTeX that prints `text`, with balanced braces. Formulas with safe commands stay formulas."""
    pieces, begun = [], 0
    for formula in formulas(text):
        pieces += [_as_text(text[begun : formula.start()]), formula[0]]
        begun = formula.end()
    return "".join([*pieces, _as_text(text[begun:])])


def _as_text(text: str) -> str:
    return _LIGATURE.sub("{}", text.translate(_ESCAPED))


def _entry(paper: ReaderPaper, taken: Counter[str]) -> str:
    fields = "".join(f"  {name} = {value},\n" for name, value in _fields(paper))
    return f"@{_type(paper)}{{{citation_key(paper, taken)},\n{fields}}}\n"


def _type(paper: ReaderPaper) -> str:
    given = paper.publication.entry_type if paper.publication else ""
    return given if _TYPE.fullmatch(given) and not _COMMAND_TYPE.fullmatch(given) else "misc"


def _fields(paper: ReaderPaper) -> Iterator[tuple[str, str]]:
    # Styles change the case of titles, except in braces.
    yield "title", f"{{{{{escaped(title_of(paper))}}}}}"
    names = authors_of(paper)
    if names:
        others = ["others"] if len(names) > MAX_AUTHORS else []
        yield "author", f"{{{' and '.join([*map(_author, names[:MAX_AUTHORS]), *others])}}}"
    if paper.publication:
        yield from _published(paper.publication, _type(paper))
    yield from _dated(paper)
    yield from _identified(paper)
    abstract = plain(paper.abstract, MAX_ABSTRACT)
    if abstract:
        yield "abstract", f"{{{escaped(abstract)}}}"


def _published(publication: Publication, entry_type: str) -> Iterator[tuple[str, str]]:
    named = {
        "booktitle" if entry_type in _IN_BOOKS else "journal": publication.container,
        "volume": publication.volume,
        "number": publication.issue,
        "pages": publication.pages,
        _PUBLISHERS.get(entry_type, "publisher"): publication.publisher,
    }
    for name, value in named.items():
        text = plain(value, MAX_TITLE)
        if text:
            # BibTeX writes a range of pages with two hyphens.
            yield name, f"{{{_value(name, text)}}}"


def _value(name: str, text: str) -> str:
    return "--".join(map(escaped, _RANGE.split(text))) if name == "pages" else escaped(text)


def _dated(paper: ReaderPaper) -> Iterator[tuple[str, str]]:
    date = date_of(paper)
    if date is None:
        return
    year, month, day = date
    yield "year", f"{{{year}}}"
    if month:
        yield "month", _MONTHS[month - 1]
    if day:
        yield "day", f"{{{day}}}"


def _identified(paper: ReaderPaper) -> Iterator[tuple[str, str]]:
    if paper.doi and _DOI.fullmatch(paper.doi):
        yield "doi", f"{{{paper.doi}}}"
    elif paper.doi:
        yield "note", f"{{{_as_text(f'https://doi.org/{quote(paper.doi)}')}}}"
    if paper.arxiv_id and _ARXIV_ID.fullmatch(paper.arxiv_id):
        yield "eprint", f"{{{paper.arxiv_id}}}"
        yield "archivePrefix", "{arXiv}"
        archive, slash, _ = paper.arxiv_id.partition("/")
        if slash:
            yield "primaryClass", f"{{{archive}}}"
    url = safe_link(paper.url)
    if url and len(url) <= MAX_LINK:
        # URLs are not escaped, because \url prints them literally. What could end the field is percent-encoded.
        yield "url", f"{{{quote(url, safe=_IN_ADDRESS)}}}"


def _author(name: str) -> str:
    """A name as BibTeX splits it, in its own braces where that would go wrong or it is not a person's.

    It has no formulas: BibTeX would cut one in half for an initial.
    """
    parts = parts_of(name)
    if parts and parts[2] and not is_group(name):
        family, given, suffix = map(_as_text, parts)
        return f"{family}, {suffix}, {given}"
    pieces = name.split(",")
    whole = len(pieces) >= _MAX_AUTHOR or not all(map(str.strip, pieces))
    return f"{{{_as_text(name)}}}" if whole or is_group(name) else _as_text(name)
