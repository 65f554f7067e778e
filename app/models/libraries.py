"""Libraries at Zotero: their names, and the patterns that select collections by their paths."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Final, NamedTuple

from pydantic import Field, SecretStr, StringConstraints

from app.models.values import Frozen

MAX_PATTERNS: Final = 20
_KEY: Final = re.compile(r"[A-Za-z0-9]{8,64}")
MAX_DEPTH: Final = 30
"""Levels of collections; Zotero has no limit."""

LibraryId = Annotated[
    str,
    StringConstraints(pattern=r"^(users|groups)/[1-9][0-9]{0,14}$"),
    Field(
        description="`users/` and the user ID that zotero.org/settings/keys shows, or `groups/` and the number in the "
        "group's address.",
        examples=["users/475425"],
    ),
]
LibraryKey = Annotated[
    SecretStr, Field(description="A key that may read the library, from zotero.org/settings/keys. It is never shown.")
]
CollectionPattern = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]
CollectionPatterns = Annotated[
    tuple[CollectionPattern, ...],
    Field(
        max_length=MAX_PATTERNS,
        description="Patterns of the paths of collections, such as `Thesis/**`: `*` is a part of a name, `**` any "
        "number of names. Empty: the whole library.",
        examples=[["Thesis/**"]],
    ),
]


def checked_key(key: SecretStr) -> SecretStr:
    """Return the key of a library. Raises `ValueError`, without the key, if Zotero has no such keys."""
    if not _KEY.fullmatch(key.get_secret_value().strip()):
        raise ValueError("this is not a key of Zotero: 24 letters and digits")
    return SecretStr(key.get_secret_value().strip())


class Access(NamedTuple):
    """A library, and the key that opens it. The key is never logged or shown."""

    library: str
    key: SecretStr


class Collection(Frozen):
    """A collection of a library, and the collection that contains it."""

    key: str
    name: str
    parent: str | None = None


def collection_paths(collections: Sequence[Collection]) -> dict[str, str]:
    """Return the paths of collections by their keys, without those whose parents are missing or form a circle."""
    by_key = {collection.key: collection for collection in collections}
    paths = {key: "/".join(_path(key, by_key)) for key in by_key}
    return {key: path for key, path in paths.items() if path}


def path_matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path matches one of the patterns. Twenty hostile patterns take a few milliseconds."""
    names = path.split("/")
    return path in patterns or any(_matches(names, pattern.split("/")) for pattern in patterns)


def _path(key: str, by_key: Mapping[str, Collection]) -> list[str]:
    """Return the names from the top to the collection; none if its parents are missing or form a circle."""
    names: list[str] = []
    current: str | None = key
    while current is not None:
        collection = by_key.get(current)
        if collection is None or len(names) >= MAX_DEPTH:
            return []
        names.append(collection.name)
        current = collection.parent
    return names[::-1]


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the names match the parts of a pattern. Takes a product of their numbers, whatever the pattern is."""
    reached = {0}
    """The positions in the pattern that the names so far lead to."""
    for name in names:
        open_places = [place for place in _past_stars(reached, pattern) if place < len(pattern)]
        stars = {place for place in open_places if pattern[place] == "**"}
        named = {place + 1 for place in open_places if place not in stars and fnmatchcase(name, pattern[place])}
        reached = stars | named
    return len(pattern) in _past_stars(reached, pattern)


def _past_stars(places: set[int], pattern: Sequence[str]) -> set[int]:
    """Add the positions behind each `**`, which may stand for no name."""
    found = set[int]()
    for place in range(len(pattern) + 1):
        if place in places or (place - 1 in found and pattern[place - 1] == "**"):
            found.add(place)
    return found
