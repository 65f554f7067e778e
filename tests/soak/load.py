"""The load of a soak: what callers, readers and schedules do, each as a loop that repeats until it is cancelled."""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from app.links import Link, Links
from tests.soak.caller import Caller
from tests.soak.ledger import Ledger
from tests.soak.whole import whole
from tests.support.imports import bibtex

INTERESTS = ["graph neural networks", "protein structure", "robots", "climate models", "language models"]
ENTRIES = 60
"""Entries of each imported library."""
_BATCH = 5
_NOT_YET = timedelta(minutes=2)
"""Until the first reader is due: a reader whose time of day has come when the record is made waits for tomorrow."""
_PAGES = ("home", "preferences", "schedule", "feed", "saved")


class Load:
    """All actors. `callback` is the receiver's URL; `links` signs readers' links as the service does."""

    def __init__(self, caller: Caller, ledger: Ledger, links: Links, callback: str, chance: random.Random) -> None:
        self._caller = caller
        self._ledger = ledger
        self._links = links
        self._callback = callback
        self._chance = chance
        self._numbers: Iterator[int] = itertools.count()

    async def run(self) -> None:
        """Do everything at the same time until cancelled."""
        actors: list[tuple[float, Callable[[], Coroutine[Any, Any, object]]]] = [
            (0.5, self._post),
            (15, self._batch),
            (1, self._like),
            (10, self._import),
            (0.7, self._look),
            (3, self._follow),
            (4, self._sign_up),
        ]
        async with asyncio.TaskGroup() as group:
            for pause, actor in actors:
                group.create_task(self._repeat(pause, actor))

    async def _repeat(self, pause: float, actor: Callable[[], Coroutine[Any, Any, object]]) -> None:
        while True:
            await whole(actor())  # Each request gets its response, so that the account knows all tasks.
            await asyncio.sleep(self._chance.uniform(0, 2 * pause))

    async def add_readers(self, count: int, over: timedelta) -> None:
        """Create readers who are due one after the other within `over`, in a time zone where it is morning."""
        now = datetime.now(UTC)
        zone, local = _morning(now)
        for number in range(count):
            due = local + _NOT_YET + over * (number / count)
            reader = {
                "external_id": f"soak-{number}",
                "name": f"Reader {number}",
                "email": f"r{number}@example.org",
                "profile": {"interests": [INTERESTS[number % len(INTERESTS)]]},
                "timezone": zone,
                "send_at": f"{due:%H:%M}",
                "when_empty": "notify",
            }
            answer = await self._caller.send("POST", "/v1/readers", json=reader)
            if answer.status_code not in {httpx.codes.CREATED, httpx.codes.OK, httpx.codes.CONFLICT}:
                raise AssertionError(answer.text)
            self._ledger.readers.append(answer.json())

    def _reader(self) -> dict[str, Any]:
        return self._chance.choice(self._ledger.readers)

    def _profile(self) -> dict[str, Any]:
        return {"name": "Caller", "interests": self._chance.sample(INTERESTS, 2)}

    async def _post(self) -> None:
        body: dict[str, Any] = {"profile": self._profile()}
        if callback := self._chance.random() < 1 / 2:
            body["callback_url"] = self._callback
        key = {"Idempotency-Key": f"soak-{next(self._numbers)}"}
        answer = await self._caller.send("POST", "/v1/digests", json=body, headers=key)
        if self._accepted(answer):
            task = self._ledger.owe(answer, callback=callback)
            if self._chance.random() < 1 / 10:  # as a caller does that lost the response
                again = await self._caller.send("POST", "/v1/digests", json=body, headers=key)
                if again.json().get("task_id") != str(task):
                    self._ledger.surprises.append(f"a repeated request did not return {task}: {again.text[:200]}")
            if self._chance.random() < 1 / 10:
                await self._caller.send("POST", f"/v1/digests/{task}/cancel")

    async def _batch(self) -> None:
        digests = [{"profile": self._profile()} for _ in range(_BATCH)]
        key = {"Idempotency-Key": f"soak-{next(self._numbers)}"}
        answer = await self._caller.send("POST", "/v1/digests/batch", json={"digests": digests}, headers=key)
        if self._accepted(answer):
            for task in answer.json()["tasks"]:
                self._ledger.owe(httpx.Response(202, content=json.dumps(task)))

    async def _like(self) -> None:
        reader, doi = self._reader(), f"10.5555/soak.{next(self._numbers)}"
        paper = {"title": f"A paper with the DOI {doi} about ice", "doi": doi, "liked": True}
        answer = await self._caller.send("POST", f"/v1/readers/{reader['reader_id']}/papers", json={"papers": [paper]})
        if self._accepted(answer):
            self._ledger.liked.setdefault(UUID(reader["reader_id"]), set()).add(doi)

    async def _import(self) -> None:
        reader, number = self._reader(), next(self._numbers)
        library = bibtex(ENTRIES, first=number * ENTRIES, broken=3)
        headers = {"Content-Type": "application/x-bibtex", "Idempotency-Key": f"soak-{number}"}
        path = f"/v1/readers/{reader['reader_id']}/papers?feedback=liked"
        answer = await self._caller.send("POST", path, content=library.encode(), headers=headers)
        # 409: this reader's last import has not ended.
        if answer.status_code != httpx.codes.CONFLICT and self._accepted(answer):
            self._ledger.imports[self._ledger.owe(answer)] = ENTRIES

    async def _look(self) -> None:
        reader = self._reader()
        link = Link(UUID(reader["reader_id"]), 1, datetime.now(UTC).date())
        await self._caller.once("GET", self._links.path(self._chance.choice(_PAGES), link))
        await self._caller.once("GET", "/v1/tasks?limit=20")

    async def _sign_up(self) -> None:
        """A stranger enters an address: a new one, or that of a reader."""
        number = next(self._numbers)
        known = self._chance.random() < 1 / 3
        address = self._reader()["email"] if known else f"stranger{number}@example.net"
        form = {
            "email": address,
            "interests": "ice",
            "timezone": "UTC",
            "send_at": "06:30",
            "form_id": f"form-{number}",
        }
        answer = await self._caller.once("POST", "/subscribe", data=form)
        if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
            self._ledger.sign_ups[address] = time.monotonic()

    async def _follow(self) -> None:
        """Wait for a task in one of the two ways that a caller has."""
        digests = [task for task, promise in self._ledger.tasks.items() if promise.kind == "digest"]
        if not digests:
            return
        task = self._chance.choice(digests)
        if self._chance.random() < 1 / 2:
            await self._caller.once("GET", f"/v1/digests/{task}", headers={"Prefer": "wait=10"})
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await self._caller.once("GET", f"/v1/digests/{task}/events")

    def _accepted(self, answer: httpx.Response) -> bool:
        if not answer.is_success:
            self._ledger.surprises.append(f"{answer.request.url.path}: {answer.status_code} {answer.text[:200]}")
        return answer.is_success


def _morning(now: datetime) -> tuple[str, datetime]:
    """Return a time zone in which it is 8 o'clock, so that no schedule of an hour crosses midnight; and its time."""
    behind = (now.hour - 8 + 12) % 24 - 12
    return f"Etc/GMT{behind:+d}", now - timedelta(hours=behind)
