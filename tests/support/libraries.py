"""Libraries of papers, parsed for tests."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from app.imports.entries import AcceptedEntry, LibraryEntry, RejectedEntry
from app.imports.library import read_library
from app.models.articles import Article, Publication
from app.persistence.reader_papers import ReaderPaper

STEP = 0.02
"""The longest time in seconds for which a step of a parser may hold the event loop."""

MOMENT = datetime(2026, 11, 28, tzinfo=UTC)


async def entries(library: str | bytes, media_type: str = "", *, pieces: int = 0) -> list[LibraryEntry]:
    """Parse it whole, or in pieces of this many bytes."""
    body = library.encode("utf-8", "surrogatepass") if isinstance(library, str) else library
    parts: Iterable[bytes] = (
        (body[start : start + pieces] for start in range(0, len(body), pieces)) if pieces else [body]
    )
    return [entry async for entry in read_library(parts, media_type)]


async def accepted(library: str | bytes, media_type: str = "") -> list[AcceptedEntry]:
    return [entry for entry in await entries(library, media_type) if isinstance(entry, AcceptedEntry)]


async def rejected(library: str | bytes, media_type: str = "") -> list[RejectedEntry]:
    return [entry for entry in await entries(library, media_type) if isinstance(entry, RejectedEntry)]


def paper_of_entry(entry: AcceptedEntry) -> ReaderPaper:
    """Return the entry's paper as the database returns it."""
    article = entry.article
    return ReaderPaper(
        paper_id=UUID(int=1),
        kind=article.kind,
        title=article.title or None,
        abstract=article.abstract,
        authors=article.authors,
        url=article.url,
        published_at=article.published_at,
        arxiv_id=article.arxiv_id,
        doi=article.doi,
        origin=article.source,
        publication=entry.publication,
        saved_at=MOMENT,
        created_at=MOMENT,
    )


def facts(entries: Iterable[LibraryEntry]) -> list[tuple[Article, Publication]]:
    """Return the content of entries without their lines."""
    return [(entry.article, entry.publication) for entry in entries if isinstance(entry, AcceptedEntry)]
