"""Whose paper it is: names as sources write them, compared as people would."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

# Letters that no decomposition reduces to a plain one.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe"})

Name = tuple[str, str]
"""The family name and the given ones, in plain lower-case letters."""


def plain_name(name: str) -> Name:
    """Take a name apart: `Yann A. LeCun`, `LeCun, Yann` and `LECUN Y.` (in a list that puts a comma) are one person.

    What is no Latin script stays as it is.
    """
    family, comma, given = name.partition(",")
    parts = _letters(family)
    if comma:
        return " ".join(parts), " ".join(_letters(given))
    return (parts[-1] if parts else ""), " ".join(parts[:-1])


def same_person(one: Name, other: Name) -> bool:
    """Whether two names of the same family can be one person's: the first given names agree, or their initials do.

    An initial agrees with every name that begins with it: sources that print initials alone leave no other way.
    """
    first, second = (name[1].split() for name in (one, other))
    if not first or not second:
        return first == second
    shorter, longer = sorted((first[0], second[0]), key=len)
    return shorter == longer or (len(shorter) == 1 and longer.startswith(shorter))


class Bylines:
    """Finds articles by their authors' family names."""

    def __init__(self) -> None:
        self._written: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def add(self, number: int, authors: Iterable[str]) -> None:
        """Enter the authors of the article with this number."""
        for author in authors:
            self._written[plain_name(author)[0]].append((number, author))

    def by(self, followed: Sequence[str]) -> dict[int, str]:
        """Return the numbers of the articles by these people, each with the author's name as it is printed there."""
        found: dict[int, str] = {}
        for name in map(plain_name, followed):
            for number, author in self._written.get(name[0], ()):
                if name[0] and same_person(name, plain_name(author)):
                    found.setdefault(number, author)
        return found


def _letters(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text).casefold().translate(_PLAIN)
    return "".join(
        letter if letter.isalpha() else " " for letter in folded if not unicodedata.combining(letter)
    ).split()
