"""Values of a paper that all export formats share: key, title, date, and the parts of its authors' names."""

import re
import unicodedata
from collections import Counter
from datetime import UTC
from typing import Final

from app.persistence.reader_papers import ReaderPaper
from app.sources.text import MAX_NAME, MAX_TITLE, plain

MAX_AUTHORS: Final = 100
_NOT_FIRST: Final = re.compile(
    r"an?|and|are|as|at|by|can|do(es)?|for|from|how|in|is|it|of|on|or|the|to|what|when|why|with"
)
_GROUP: Final = re.compile(r"\b(collaboration|consortium|group|network|project|team)\b", re.IGNORECASE)
_SUFFIX: Final = re.compile(r"(?:(?i:jr|sr|2nd|3rd)|I{2,3}|IV|VI{1,3})\.?")
_MANUAL: Final = "manual"
_DATE: Final = re.compile(r"(\d{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01]))?)?")


def title_of(paper: ReaderPaper) -> str:
    """Return the paper's title, or its identifier if the title is unknown."""
    unknown = f"arXiv:{paper.arxiv_id}" if paper.arxiv_id else paper.doi
    return plain(paper.title or "", MAX_TITLE) or plain(unknown or "Without a title", MAX_TITLE)


def authors_of(paper: ReaderPaper) -> list[str]:
    """Return the names that are not empty, without line breaks."""
    return [name for name in (plain(each, MAX_NAME) for each in paper.authors) if name]


def date_of(paper: ReaderPaper) -> tuple[int, int | None, int | None] | None:
    """Return year, month and day, as precise as the paper's source."""
    known = _DATE.fullmatch(paper.publication.date) if paper.publication else None
    if known:
        return int(known[1]), int(known[2]) if known[2] else None, int(known[3]) if known[3] else None
    if paper.published_at is None:
        return None
    moment = paper.published_at.astimezone(UTC)
    if paper.origin == _MANUAL and (moment.month, moment.day, moment.hour) == (1, 1, 0):
        return moment.year, None, None  # The entry of the library has only a year.
    return moment.year, moment.month, None


def is_group(name: str) -> bool:
    """Whether a name is not a person's, or looks like two names."""
    words = name.casefold().split()
    return "and" in words or words == ["others"] or ";" in name or bool(_GROUP.search(name))


def parts_of(name: str) -> tuple[str, str, str] | None:
    """Return family, given and suffix of a name such as `Paul W. Roe, Jr.`; None for another form."""
    spoken, comma, suffix = name.partition(",")
    words = spoken.split()
    if comma and not _SUFFIX.fullmatch(suffix.strip()):
        return None
    if len(words) < 2:  # noqa: PLR2004  (a family and a given name)
        return None
    # Particles belong to the family name: "van der Berg".
    begins = next((place for place, word in enumerate(words[:-1]) if place and word.islower()), len(words) - 1)
    return " ".join(words[begins:]), " ".join(words[:begins]), suffix.strip()


def citation_key(paper: ReaderPaper, taken: Counter[str]) -> str:
    """Return a key like noether1918invariant. A key that is already used gets a hyphen and a letter."""
    author = next(iter(authors_of(paper)), "")
    parts = parts_of(author)
    family = (
        parts[0] if parts and parts[2] else author.partition(",")[0] if "," in author else author.rpartition(" ")[2]
    )
    date = date_of(paper)
    words = [_ascii(word) for word in title_of(paper).split()]
    word = next((each for each in words if each and not _NOT_FIRST.fullmatch(each)), "")
    base = f"{_ascii(family) or 'anonymous'}{date[0] if date else ''}{word}"[:60]
    taken[base] += 1
    return base if taken[base] == 1 else f"{base}-{_letters(taken[base] - 1)}"


def _letters(number: int) -> str:
    """1 is a, 26 is z, 27 is aa."""
    letters = ""
    while number:
        number, place = divmod(number - 1, 26)
        letters = chr(ord("a") + place) + letters
    return letters


def _ascii(text: str) -> str:
    """Return the letters and digits of a text in lower case and without accents."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", text).casefold())
