"""Papers as BibTeX. Every value is escaped, so that it stays within its field and prints unchanged.

We do not use bibtexparser, because its escaping produces unbalanced braces. Values are UTF-8 (supported by LaTeX since
2018 and by biber); keys are ASCII.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Final
from urllib.parse import quote

from app.persistence.reader_papers import ReaderPaper
from app.sources.text import MAX_LINK, MAX_NAME, MAX_TITLE, plain, safe_link

MEDIA_TYPE: Final = "application/x-bibtex; charset=utf-8"
_MAX_AUTHORS: Final = 100
_ARXIV_ID: Final = re.compile(r"\d{4}\.\d{4,5}|[a-z-]{2,12}(\.[A-Za-z-]{2,20})?/\d{7}")
_DOI: Final = re.compile(r"10\.\d{4,9}/[^\s\\{}%#\x00-\x1f\x7f]{1,200}")

# BibTeX counts a brace even after a backslash, so braces are written by name. LaTeX joins some pairs (-- is a dash).
_ESCAPED: Final = str.maketrans(
    {character: rf"\{character}" for character in "$&%#_"}
    | {"\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
)
_LIGATURE: Final = re.compile(r"(?<=-)(?=-)|(?<=`)(?=`)|(?<=')(?=')|(?<=[?!])(?=`)|(?<=,)(?=,)")
_NOT_FIRST: Final = re.compile(
    r"an?|and|are|as|at|by|can|do(es)?|for|from|how|in|is|it|of|on|or|the|to|what|when|why|with"
)
_FAMILY_AND_GIVEN: Final = 2
_GROUP: Final = re.compile(r"\b(collaboration|consortium|group|network|project|team)\b", re.IGNORECASE)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_IN_ADDRESS: Final = "-._~:/?#[]@!$&'()*+,;=%"


def bibtex_entries(papers: Iterable[ReaderPaper]) -> Iterator[str]:
    """Yield an entry for each paper in order, with a key such as noether1918invariant.

    A repeated key gets a suffix. With the oldest paper first, keys do not change when papers are added.
    """
    taken = Counter[str]()
    return (_entry(paper, taken) for paper in papers)


def escaped(text: str) -> str:
    """Return `text` escaped for LaTeX, without unbalanced braces."""
    return _LIGATURE.sub("{}", text.translate(_ESCAPED))


def _entry(paper: ReaderPaper, taken: Counter[str]) -> str:
    fields = "".join(f"  {name} = {value},\n" for name, value in _fields(paper))
    return f"@misc{{{_key(paper, taken)},\n{fields}}}\n"


def _fields(paper: ReaderPaper) -> Iterator[tuple[str, str]]:
    # Double braces keep the case of the title.
    yield "title", f"{{{{{escaped(_title(paper))}}}}}"
    names = [name for name in (plain(each, MAX_NAME) for each in paper.authors) if name]
    if names:
        others = ["others"] if len(names) > _MAX_AUTHORS else []
        yield "author", f"{{{' and '.join([*map(_author, names[:_MAX_AUTHORS]), *others])}}}"
    if paper.published_at is not None:
        day = paper.published_at.astimezone(UTC)
        yield "year", f"{{{day.year}}}"
        yield "month", _MONTHS[day.month - 1]
    if paper.doi and _DOI.fullmatch(paper.doi):
        yield "doi", f"{{{paper.doi}}}"
    if paper.arxiv_id and _ARXIV_ID.fullmatch(paper.arxiv_id):
        yield "eprint", f"{{{paper.arxiv_id}}}"
        yield "archivePrefix", "{arXiv}"
        archive, slash, _ = paper.arxiv_id.partition("/")
        if slash:
            yield "primaryClass", f"{{{archive}}}"
    url = safe_link(paper.url)
    if url and len(url) <= MAX_LINK:
        # \url takes URLs unescaped; quote() encodes the characters that could end the field.
        yield "url", f"{{{quote(url, safe=_IN_ADDRESS)}}}"


def _title(paper: ReaderPaper) -> str:
    identifier = f"arXiv:{paper.arxiv_id}" if paper.arxiv_id else paper.doi
    return plain(paper.title or "", MAX_TITLE) or plain(identifier or "Without a title", MAX_TITLE)


def _author(name: str) -> str:
    """Return a name for BibTeX, in braces if BibTeX would split it wrongly or it is a group's name."""
    words = name.casefold().split()
    parts = name.split(",")
    whole = "and" in words or words == ["others"] or len(parts) > _FAMILY_AND_GIVEN or not all(map(str.strip, parts))
    return f"{{{escaped(name)}}}" if whole or _GROUP.search(name) else escaped(name)


def _key(paper: ReaderPaper, taken: Counter[str]) -> str:
    author = next((plain(each, MAX_NAME) for each in paper.authors), "")
    family = author.partition(",")[0] if "," in author else author.rpartition(" ")[2]
    year = str(paper.published_at.astimezone(UTC).year) if paper.published_at else ""
    words = [_ascii(word) for word in _title(paper).split()]
    word = next((each for each in words if each and not _NOT_FIRST.fullmatch(each)), "")
    base = f"{_ascii(family) or 'anonymous'}{year}{word}"[:60]
    taken[base] += 1
    # Other keys contain no hyphen.
    return base if taken[base] == 1 else f"{base}-{_letters(taken[base] - 1)}"


def _letters(number: int) -> str:
    """1 is a, 26 is z, 27 is aa."""
    letters = ""
    while number:
        number, place = divmod(number - 1, 26)
        letters = chr(ord("a") + place) + letters
    return letters


def _ascii(text: str) -> str:
    """Return the letters and digits of a text in lower case without accents."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", text).casefold())
