"""Results of parsing a library: each entry once, accepted with its paper or rejected with a reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from app.errors import BroadsheetError
from app.models.articles import Article, Publication

MAX_ENTRIES: Final = 20_000
MAX_BYTES: Final = 50_000_000
MAX_ENTRY: Final = 250_000
"""Maximum characters of an entry. Some exports include all references of a paper."""
MAX_KEY: Final = 120


class LibraryUnreadable(BroadsheetError):
    """The file is not a library, or has more than `MAX_ENTRIES` entries or `MAX_BYTES` bytes."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Unreadable library"


@dataclass(frozen=True, slots=True)
class AcceptedEntry:
    """The paper of the entry at `line` (from 1). `key` is the entry's key, empty if it has none."""

    line: int
    key: str
    article: Article
    publication: Publication


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """An entry that cannot be accepted, with the reason."""

    line: int
    key: str
    reason: str


LibraryEntry = AcceptedEntry | RejectedEntry

Steps = Iterator[LibraryEntry | None]
"""Results of work in steps of a few milliseconds: an entry, or None at the end of a step."""


class LibraryReader(Protocol):
    """Parses a file in pieces. `feed` or `end` yields every entry once."""

    def feed(self, text: str) -> Steps:
        """Parse the next part of the text."""
        ...

    def end(self) -> Steps:
        """Parse the rest."""
        ...
