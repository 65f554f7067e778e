"""A watcher never gets an older state than the one with which it began."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app import task_hub
from app.models.tasks import Task
from app.persistence.watched_tasks import ChangedTask, Changes
from app.task_hub import TaskHub
from tests.support.rows import TASK

OLDER = Task.model_validate(TASK | {"progress": 0.25})
NEWER = Task.model_validate(TASK | {"progress": 0.5})
NEWEST = Task.model_validate(TASK | {"progress": 0.75})


class SlowDatabase:
    """Responds to each call when the test gives it a state of the task."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[None] = asyncio.Queue()
        self.responses: asyncio.Queue[Task] = asyncio.Queue()

    async def changes(self, _known: Any) -> Changes:
        self.begun.put_nowait(None)
        task = await self.responses.get()
        return Changes(changed=[ChangedTask(version=str(task.progress), task=task)], gone=[])


@pytest.fixture
def database() -> SlowDatabase:
    return SlowDatabase()


@pytest.fixture
async def hub(database: SlowDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TaskHub]:
    monkeypatch.setattr(task_hub, "POLL_INTERVAL", 0.0)
    hub = TaskHub(database)  # type: ignore[arg-type]  # (it is asked for changes alone)
    async with hub.running():
        yield hub


async def test_a_response_from_before_a_watch_is_not_told(hub: TaskHub, database: SlowDatabase) -> None:
    with hub.watching(OLDER) as first:
        await database.begun.get()
        with hub.watching(NEWER) as second:  # read while the call was under way
            database.responses.put_nowait(OLDER)
            await database.begun.get()  # the next call begins when the response was told
            assert (first.task, second.task) == (OLDER, NEWER)
            database.responses.put_nowait(NEWEST)
            await database.begun.get()
            assert (first.task, second.task) == (NEWEST, NEWEST)
