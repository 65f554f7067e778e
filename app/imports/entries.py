"""What a library's file holds: each of its entries once, accepted with its paper or rejected with a reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from app.errors import BroadsheetError
from app.models import Article, Publication

MAX_ENTRIES: Final = 20_000
MAX_BYTES: Final = 50_000_000
MAX_ENTRY: Final = 250_000
"""Characters; some exports hold all that a paper cites."""
MAX_KEY: Final = 120


class LibraryUnreadable(BroadsheetError):
    """The file is no library, or has more than `MAX_ENTRIES` entries or `MAX_BYTES` bytes."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Unreadable library"


@dataclass(frozen=True, slots=True)
class AcceptedEntry:
    """A paper, as the entry at `line` (from 1) describes it; `key` is the entry's own, or empty."""

    line: int
    key: str
    article: Article
    publication: Publication


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """An entry that cannot be read, and why."""

    line: int
    key: str
    reason: str


LibraryEntry = AcceptedEntry | RejectedEntry

Steps = Iterator[LibraryEntry | None]
"""Work in steps of a few milliseconds: an entry, or None where a step ends without one."""


class LibraryReader(Protocol):
    """Reads one text, given in pieces. Every entry is yielded once, by `feed` or at the end."""

    def feed(self, text: str) -> Steps:
        """Read on."""
        ...

    def end(self) -> Steps:
        """Read what is left."""
        ...
