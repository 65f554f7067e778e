"""Authors: compares names in the forms in which sources write them."""

import unicodedata
from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from app.models.articles import Article
from app.ranking.words import term

# Letters that Unicode normalisation does not reduce to an ASCII letter.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe"})

Name = tuple[str, str]
"""The family name and the given names, in lower-case letters without accents."""


def plain_name(name: str) -> Name:
    """Split a name: `Yann A. LeCun`, `LeCun, Yann` and, in a list with commas, `LECUN, Y.` are one person.

    Names in other scripts than Latin do not change.
    """
    family, comma, given = name.partition(",")
    parts = _letters(family)
    if comma:
        return " ".join(parts), " ".join(_letters(given))
    return (parts[-1] if parts else ""), " ".join(parts[:-1])


def same_person(one: Name, other: Name) -> bool:
    """Whether two names with the same family name can be one person: the first given names or their initials agree.

    An initial agrees with every name that begins with it, because some sources print only initials.
    """
    first, second = (name[1].split() for name in (one, other))
    if not first or not second:
        return first == second
    shorter, longer = sorted((first[0], second[0]), key=len)
    return shorter == longer or (len(shorter) == 1 and longer.startswith(shorter))


class Bylines:
    """Finds articles by author. It stores only the term number of each family name, to use little memory."""

    def __init__(self) -> None:
        self._families = array("I")
        self._articles = array("I")
        self._places = array("I")

    def add(self, number: int, authors: Iterable[str]) -> None:
        """Add the authors of the article with this number."""
        for place, author in enumerate(authors):
            self._places.append(place)
            self._families.append(term(plain_name(author)[0]))
            self._articles.append(number)

    def by(self, followed: Sequence[str], articles: Sequence[Article]) -> dict[int, str]:
        """Return the articles by the `followed` people, each with the author's name as printed in the article."""
        families = np.frombuffer(self._families, dtype=np.uint32) if self._families else np.empty(0, np.uint32)
        found: dict[int, str] = {}
        for name in map(plain_name, followed):
            for entry in np.flatnonzero(families == term(name[0])).tolist() if name[0] else ():
                number = self._articles[entry]
                author = articles[number].authors[self._places[entry]]
                if _is_by(author, name):
                    found.setdefault(number, author)
        return found


def _is_by(author: str, name: Name) -> bool:
    printed = plain_name(author)
    return printed[0] == name[0] and same_person(printed, name)


def _letters(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text).casefold().translate(_PLAIN)
    return "".join(
        letter if letter.isalpha() else " " for letter in folded if not unicodedata.combining(letter)
    ).split()
