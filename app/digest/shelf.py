"""The editions that this process read last, so that a day's thousands of digests read them once."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from app.models import Article, Edition
from app.persistence.editions import Editions

# Almost all digests are of the last day; a few MB each.
_MOST: Final = 2

_Key = tuple[date, datetime]


class EditionShelf:
    """Keeps the articles of a few editions in memory; an edition that was fetched again is read again.

    Without it, every digest reads about a megabyte that the one before it has read.
    """

    def __init__(self, daily: Editions) -> None:
        self._daily = daily
        self._reads: OrderedDict[_Key, asyncio.Task[list[Article]]] = OrderedDict()

    async def articles(self, edition: Edition) -> Sequence[Article]:
        """All articles of `edition`, in the order of their keys; digests that begin together read them once.

        Raises `SupabaseError`, to every caller that waited; the next one tries again.
        """
        key = (edition.source_date, edition.updated_at)
        read = self._reads.get(key)
        if read is None:
            read = asyncio.create_task(self._daily.get_articles(edition.source_date))
            self._reads[key] = read
            read.add_done_callback(lambda done: self._forget_failure(key, done))
        self._reads.move_to_end(key)
        while len(self._reads) > _MOST:
            self._reads.popitem(last=False)
        # A digest that is cancelled must not take the articles from the others.
        return await asyncio.shield(read)

    def _forget_failure(self, key: _Key, done: "asyncio.Task[list[Article]]") -> None:
        # Asking for the exception also says that nobody else need be told, should all who waited be gone.
        if done.cancelled() or done.exception() is not None:
            self._reads.pop(key, None)
