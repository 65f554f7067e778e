"""A reader's days: the digest and the new items of each."""

from datetime import datetime

import asyncpg
from supabase import AsyncClient

from app.models.articles import Item
from app.models.tasks import TaskKind
from app.persistence.items import Items
from app.persistence.outcomes import Completed
from app.persistence.readers import Reader
from tests.support.items import seen
from tests.support.schedule import Clock, add_reader, enqueued
from tests.support.tasks import Claimer

TITLES = ("Ice remembers", "Radar sees further")


class Mornings:
    """A reader's days: the new items that each digest finds and contains."""

    def __init__(self, client: AsyncClient, database: asyncpg.Connection, clock: Clock) -> None:
        self._client = client
        self._database = database
        self._clock = clock
        self.reader: Reader

    async def begin(self) -> None:
        await self._clock.set("2026-11-23T06:00:00Z")
        self.reader = await add_reader(self._client, email="ada@example.org")

    async def last(self) -> datetime | None:
        return (await Items(self._client).new_items_for(self.reader.reader_id)).last_digest

    async def items(self) -> list[Item]:
        """The items from which a digest that is written now would select."""
        found = await Items(self._client).new_items_for(self.reader.reader_id)
        items = [item for day in found.days for item in await seen(self._client, day.day)]
        return [item for item in items if item.item_id not in found.shown]

    async def news(self) -> set[str]:
        """Their titles."""
        return {item.article.title for item in await self.items()}

    async def digest(self, day: int) -> set[str]:
        """Write the digest of a day of November with all new items; returns the titles."""
        await self._clock.set(f"2026-11-{day}T07:00:30Z")
        await enqueued(self._client, self._database)
        items = await self.items()
        titles, keys = {item.article.title for item in items}, [key for item in items for key in item.keys]
        writer = Claimer(self._client, kinds=[TaskKind.DIGEST])
        content = {"papers": [{"title": title} for title in titles], "news": [], "keys": keys}
        await writer.sync({(await writer.claim_one()).lease: Completed({}, content)})
        return titles

    async def a_day_passes(self) -> None:
        """Make everything a day older, because tests cannot set the database's clock."""
        for table, columns in {
            "digests": ["created_at"],
            "tasks": ["created_at"],
            "deliveries": ["created_at", "begun_at", "ended_at"],
            "shown_items": ["shown_at"],
            "shown_digests": ["began_at", "written_at"],
            "readers_private": ["new_items_since"],
            "items": ["first_seen"],
        }.items():
            changes = ", ".join(f"{column} = {column} - interval '1 day'" for column in columns)
            await self._database.execute(f"update public.{table} set {changes}")
