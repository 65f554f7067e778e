"""A stored digest joined with its reader's feedback on each item, and the recording of that feedback."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final
from uuid import UUID

from app.links import InvalidLink
from app.mail.item_links import item_name
from app.models.digests import Digest, DigestItem
from app.models.item_keys import item_keys
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
"""The feedback that each button sets. Pressing a button again changes nothing."""


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item, its name in URLs, and its reader's feedback."""

    item: DigestItem
    name: str
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class DigestView:
    """The digest of one of a reader's days."""

    day: date
    digest: Digest
    papers: tuple[ItemView, ...]
    news: tuple[ItemView, ...]

    def item_named(self, name: str) -> ItemView:
        """Return the item with this name. Raises `InvalidLink` if the digest has no such item."""
        for view in (*self.papers, *self.news):
            if view.name == name:
                return view
        raise InvalidLink


async def read_digest(services: Services, reader_id: UUID, day: date) -> DigestView:
    """Read the digest of a reader's day. Raises `DigestNotFound`, `SupabaseError`."""
    digest = (await services.digests.for_day(reader_id, day)).read()
    items = (*digest.papers, *digest.news)
    feedback = await services.reader_papers.feedback_on(reader_id, [item_keys(item.article) for item in items])
    views = tuple(_item_views(items, feedback))
    return DigestView(day, digest, views[: len(digest.papers)], views[len(digest.papers) :])


async def record_feedback(services: Services, reader_id: UUID, view: ItemView, action: str) -> ItemView:
    """Record one of `FEEDBACK_ACTIONS` on an item; return the item with it.

    Raises `ReaderNotFound`, `TooManyPapers`, `SupabaseError`.
    """
    change = FEEDBACK_ACTIONS[action]
    (paper_id,) = await services.reader_papers.put(reader_id, [(paper_of(view.item.article), change)])
    return replace(view, feedback=view.feedback.model_copy(update={**change, "paper_id": paper_id}))


def _item_views(items: tuple[DigestItem, ...], feedback: list[Feedback]) -> Iterator[ItemView]:
    for item, item_feedback in zip(items, feedback, strict=True):
        yield ItemView(item, item_name(item.article), item_feedback)
