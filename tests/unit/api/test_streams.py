"""The exact bytes of a task's event stream, and when the stream ends."""

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
from app.models.tasks import Task
from app.persistence.watched_tasks import ChangedTask, Changes
from app.task_hub import TaskHub
from tests.support.rows import TASK

STILL = b": still waiting\n\n"
RUNNING = Task.model_validate(TASK)
ENDED = Task.model_validate(TASK | {"status": "completed", "message": "\u2028"})


class Database:
    """Receives the hub's queries and returns this task."""

    def __init__(self) -> None:
        self.task = RUNNING

    async def changes(self, _known: Any) -> Changes:
        return Changes(changed=[ChangedTask(version=self.task.message or "", task=self.task)], gone=[])


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
async def hub(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TaskHub]:
    monkeypatch.setattr(task_hub, "POLL_INTERVAL", 0.01)
    hub = TaskHub(database, max_watchers=1)  # type: ignore[arg-type]  # (it is asked for changes alone)
    async with hub.running():
        yield hub


class Stream:
    """A response to a client that reads until the test disconnects it."""

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


async def test_an_ended_task_is_one_event_and_ends_the_stream(hub: TaskHub, stream: Stream) -> None:
    await stream.read(task_events(hub, ENDED, None))
    assert stream.body == b"retry: 2000\n\n" + encoded(ENDED, "end")
    assert stream.body.isascii()
    headers = dict(stream.head["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert (headers[b"cache-control"], headers[b"x-accel-buffering"]) == (b"no-store", b"no")
    assert hub.watchers == 0


async def test_each_new_status_is_an_event_until_the_final_one(
    hub: TaskHub, database: Database, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "KEEPALIVE_INTERVAL", 0.01)
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


async def test_an_event_that_was_received_is_not_sent_again(hub: TaskHub, database: Database, stream: Stream) -> None:
    reading = asyncio.create_task(stream.read(task_events(hub, RUNNING, TaskEvent(RUNNING).id)))
    database.task = ENDED
    await reading
    assert stream.body == b"retry: 2000\n\n" + encoded(ENDED, "end")


async def test_a_client_that_has_the_last_event_gets_204(hub: TaskHub) -> None:
    response = task_events(hub, ENDED, TaskEvent(ENDED).id)
    assert (response.status_code, response.body) == (204, b"")
    seen = task_events(hub, RUNNING, TaskEvent(RUNNING).id)
    assert seen.status_code == 200


async def test_a_stream_ends_at_its_time_limit(hub: TaskHub, stream: Stream) -> None:
    async with asyncio.timeout(10):
        await stream.read(task_events(hub, RUNNING, None, seconds=0.01))
    assert stream.body == b"retry: 2000\n\n" + encoded(RUNNING, "progress")


async def test_a_disconnected_caller_is_released(hub: TaskHub, stream: Stream) -> None:
    reading = asyncio.create_task(stream.read(task_events(hub, RUNNING, None)))
    await stream.until(b"event: ")
    assert hub.watchers == 1
    stream.gone.set()
    await reading
    assert hub.watchers == 0


async def test_over_the_limit_of_streams_the_error_names_the_limit(hub: TaskHub) -> None:
    with hub.watching(RUNNING), pytest.raises(TooManyWatchers) as refused:
        task_events(hub, RUNNING, None)
    assert (refused.value.status, refused.value.title) == (503, "Too many watchers")
    assert str(refused.value) == "This server already has 1 watchers: try again later, or poll the task."


def test_waits_and_heartbeats_have_their_documented_lengths() -> None:
    assert (waiting.MAX_WAIT, waiting.KEEPALIVE_INTERVAL, waiting.MAX_PREFER) == (60, 15, 500)
