"""Source names for readers, and the sentence about sources that could not be read."""

from collections.abc import Iterable
from typing import Final

from app.models.articles import EditionStatus

_NAMES: Final = {"arxiv": "arXiv", "biorxiv": "bioRxiv", "medrxiv": "medRxiv", "newsapi": "NewsAPI"}
_ORIGINS: Final = {
    "zotero": "your Zotero library",
    "library": "an imported file",
    "manual": "a program or an administrator",
    "crossref": "Crossref",
}
_MOST_NAMED: Final = 4


def source_name(source: str) -> str:
    """Return the name that readers see: `nature` for `feed:nature`."""
    return _NAMES.get(source, source.removeprefix("feed:"))


def paper_origin(origin: str) -> str:
    """Return where a reader's paper came from: `your Zotero library`, `a file`, `your own list`, or its source."""
    return _ORIGINS.get(origin) or source_name(origin)


def missing_sources(status: EditionStatus, failed: Iterable[str]) -> str:
    """Return a sentence that names the missing sources; empty if none is. Only operators see the causes."""
    names = [source_name(source) for source in failed]
    if status is EditionStatus.FAILED:
        return "No source could be read in time. A later digest will have the new items."
    if names:
        return f"{_listed(names)} could not be read: new items from there are missing here."
    return "Some sources could not be read." if status is EditionStatus.PARTIAL else ""


def _listed(names: list[str]) -> str:
    """`arXiv`; `arXiv and Nature`; `arXiv, Nature, Quanta, Science and 3 others`."""
    more = len(names) - _MOST_NAMED
    if more > 0:
        named = [*names[:_MOST_NAMED], f"{more} {'other' if more == 1 else 'others'}"]
        return f"{', '.join(named[:-1])} and {named[-1]}"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
