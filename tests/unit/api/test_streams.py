"""A task's events as they go over the wire, to the byte, and a stream's end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Message

from app import task_hub
from app.api import waiting
from app.api.models import TaskView
from app.api.waiting import TaskEvent, TooManyWatchers, task_events
from app.models import Task
from app.persistence.watched_tasks import ChangedTask, Changes
from app.task_hub import TaskHub
from tests.integration.api.rows import TASK

STILL = b": still waiting\n\n"
RUNNING = Task.model_validate(TASK)
ENDED = Task.model_validate(TASK | {"status": "completed", "message": "\u2028"})


class Database:
    """What a hub asks for changes, and hears of this task."""

    def __init__(self) -> None:
        self.task = RUNNING

    async def changes(self, _known: Any) -> Changes:
        return Changes(changed=[ChangedTask(version=self.task.message or "", task=self.task)], gone=[])


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
async def hub(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TaskHub]:
    monkeypatch.setattr(task_hub, "PACE", 0.01)
    hub = TaskHub(database, max_watchers=1)  # type: ignore[arg-type]  # (it is asked for changes alone)
    async with hub.running():
        yield hub


class Stream:
    """A response that is sent to a caller who reads, and goes when the test says so."""

    def __init__(self) -> None:
        self.head: Message = {}
        self.body = b""
        self.grown = asyncio.Event()
        self.gone = asyncio.Event()

    async def read(self, response: Any) -> None:
        await response({"type": "http", "method": "GET", "asgi": {"spec_version": "2.3"}}, self._receive, self._send)

    async def until(self, what: bytes) -> None:
        async with asyncio.timeout(10):
            while what not in self.body:
                await self.grown.wait()
                self.grown.clear()

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.head = message
        self.body += message.get("body", b"")
        self.grown.set()


@pytest.fixture
async def stream() -> AsyncIterator[Stream]:
    stream = Stream()
    yield stream
    stream.gone.set()


def encoded(task: Task, name: str) -> bytes:
    data = json.dumps(TaskView.of(task).model_dump(mode="json"))
    return f"event: {name}\nid: {TaskEvent(task).id}\ndata: {data}\n\n".encode()


async def test_an_ended_task_is_one_event_and_the_streams_end(hub: TaskHub, stream: Stream) -> None:
    await stream.read(task_events(hub, ENDED, None))
    assert stream.body == b"retry: 2000\n\n" + encoded(ENDED, "end")
    assert stream.body.isascii()
    headers = dict(stream.head["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert (headers[b"cache-control"], headers[b"x-accel-buffering"]) == (b"no-store", b"no")
    assert hub.watchers == 0


async def test_each_new_state_is_an_event_until_the_last(
    hub: TaskHub, database: Database, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "HEARTBEAT", 0.01)
    reading = asyncio.create_task(stream.read(task_events(hub, RUNNING, None)))
    await stream.until(STILL)
    assert stream.body.startswith(b"retry: 2000\n\n" + encoded(RUNNING, "progress") + STILL)
    database.task = RUNNING.model_copy(update={"message": "half way"})
    await stream.until(encoded(database.task, "progress"))
    database.task = ENDED
    await reading
    assert stream.body.endswith(encoded(ENDED, "end"))
    assert (stream.body.count(b"event: "), stream.body.count(b"retry: ")) == (3, 1)
    assert hub.watchers == 0


async def test_what_was_seen_does_not_come_again(hub: TaskHub, database: Database, stream: Stream) -> None:
    reading = asyncio.create_task(stream.read(task_events(hub, RUNNING, TaskEvent(RUNNING).id)))
    database.task = ENDED
    await reading
    assert stream.body == b"retry: 2000\n\n" + encoded(ENDED, "end")


async def test_who_has_seen_the_end_is_told_not_to_come_again(hub: TaskHub) -> None:
    response = task_events(hub, ENDED, TaskEvent(ENDED).id)
    assert (response.status_code, response.body) == (204, b"")
    seen = task_events(hub, RUNNING, TaskEvent(RUNNING).id)
    assert seen.status_code == 200


async def test_a_stream_that_may_last_so_long_ends_then(hub: TaskHub, stream: Stream) -> None:
    async with asyncio.timeout(10):
        await stream.read(task_events(hub, RUNNING, None, seconds=0.01))
    assert stream.body == b"retry: 2000\n\n" + encoded(RUNNING, "progress")


async def test_a_caller_that_goes_is_forgotten(hub: TaskHub, stream: Stream) -> None:
    reading = asyncio.create_task(stream.read(task_events(hub, RUNNING, None)))
    await stream.until(b"event: ")
    assert hub.watchers == 1
    stream.gone.set()
    await reading
    assert hub.watchers == 0


async def test_where_too_many_watch_the_next_one_hears_how_many(hub: TaskHub) -> None:
    with hub.watching(RUNNING), pytest.raises(TooManyWatchers) as refused:
        task_events(hub, RUNNING, None)
    assert (refused.value.status, refused.value.title) == (503, "Too many watch")
    assert str(refused.value) == "1 callers watch tasks here already: try again, or ask for the task itself."


def test_how_long_callers_wait_and_how_often_they_hear_of_it() -> None:
    assert (waiting.MAX_WAIT, waiting.HEARTBEAT, waiting.MAX_PREFER) == (60, 15, 500)
