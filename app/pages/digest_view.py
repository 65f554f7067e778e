"""A digest as its reader's place shows it: each item with what was said of it, and the saying."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from app.links import InvalidLink
from app.mail.item_links import item_name
from app.models import Article, Digest, DigestItem
from app.persistence.errors import parsed
from app.persistence.item_keys import item_keys
from app.persistence.reader_papers import Feedback, FeedbackChange
from app.ranking.reader_paper import paper_of
from app.services import Services

FEEDBACK_ACTIONS: Final[Mapping[str, FeedbackChange]] = {
    "more": {"liked": True},
    "less": {"liked": False},
    "unrate": {"liked": None},
    "save": {"saved": True},
    "unsave": {"saved": False},
}
"""What a button says of an item; each counts once, however often it is pressed."""

_DIGEST: Final = TypeAdapter(Digest)


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item, what it is called in addresses, and what its reader said of it."""

    item: DigestItem
    name: str
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class ShownDigest:
    """The digest of one of a reader's days."""

    day: date
    digest: Digest
    papers: tuple[ShownItem, ...]
    news: tuple[ShownItem, ...]

    def named(self, name: str) -> ShownItem:
        """Return the item of that name. Raises `InvalidLink`: it holds none."""
        for shown in (*self.papers, *self.news):
            if shown.name == name:
                return shown
        raise InvalidLink


async def read_digest(services: Services, reader_id: UUID, day: date) -> ShownDigest:
    """Read the digest of a reader's day. Raises `DigestNotFound`, `SupabaseError`."""
    stored = await services.digests.for_day(reader_id, day)
    digest = parsed(_DIGEST, stored.digest)
    items = (*digest.papers, *digest.news)
    said = await services.reader_papers.feedback_on(reader_id, [item_keys(item.article) for item in items])
    shown = tuple(_shown(items, said))
    return ShownDigest(day, digest, shown[: len(digest.papers)], shown[len(digest.papers) :])


async def say(services: Services, reader_id: UUID, article: Article, saying: str) -> None:
    """Note one of `FEEDBACK_ACTIONS` of an item. Raises `ReaderNotFound`, `TooManyPapers`, `SupabaseError`."""
    await services.reader_papers.put(reader_id, [(paper_of(article), FEEDBACK_ACTIONS[saying])])


def _shown(items: tuple[DigestItem, ...], said: list[Feedback]) -> Iterator[ShownItem]:
    for item, one in zip(items, said, strict=True):
        yield ShownItem(item, item_name(item.article), one)
