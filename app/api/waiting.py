"""Waiting for a task in place of polling it: `Prefer: wait=20` (RFC 7240), and its events as they come (server-sent).

Whoever waits or watches has read the task before, as every other caller does: that is where it is asked who may.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from hashlib import blake2b
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import WithJsonSchema
from starlette.types import Message, Receive, Scope, Send

from app.api.models import TaskView
from app.errors import BroadsheetError
from app.models import Task
from app.task_hub import TaskHub, Watcher

MAX_WAIT = 60
"""Seconds that a request waits at most, however long it asks for."""

HEARTBEAT = 15.0
"""Seconds without news after which a stream sends a comment, so that nobody between takes it for dead."""

STILL_WAITING = b": still waiting\n\n"

RECONNECT = b"retry: 2000\n\n"
"""Milliseconds that a browser lets pass before it comes back."""

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Nothing between may keep events, or keep them back (the second one is nginx's)."""

MAX_PREFER = 500
"""Characters of the preferences that are looked at."""

PREFERENCE = re.compile(r'(?:[^",]|"(?:\\.|[^"\\])*")+')
WAIT = re.compile(r'wait\s*=\s*(?:(\d{1,9})|"(\d{1,9})")', re.IGNORECASE)

Prefer = Annotated[
    list[str] | None,
    # There may be several; clients are told of one, for generators lose routes that declare a header as a list.
    WithJsonSchema({"type": "string"}),
    Header(
        description="`wait=20` answers when the task has ended, or after 20 seconds as it is then; "
        f"{MAX_WAIT} at most. `Preference-Applied` says what was done.",
        examples=[["wait=20"]],
    ),
]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID", max_length=100, description="The `id` of the last event that was seen: not sent again."
    ),
]
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "`progress` for each new state, `end` for the last one, each with the task as its data",
    },
    204: {"description": "The task's end was seen: nothing more will come"},
}


class TooManyWatchers(BroadsheetError):
    """More callers watch tasks than one process keeps."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Too many watch"


async def hub_of(request: Request) -> TaskHub:
    """The hub of the running application."""
    hub: TaskHub = request.app.state.hub
    return hub


HubOf = Annotated[TaskHub, Depends(hub_of)]


def wait_seconds(preferences: Sequence[str]) -> int | None:
    """How long `Prefer` headers ask to wait, up to `MAX_WAIT`; what is no such preference is passed over (RFC 7240, 2).

    The first one counts where there are several.
    """
    for preference in PREFERENCE.findall(",".join(preferences)[:MAX_PREFER]):
        if found := WAIT.fullmatch(preference.partition(";")[0].strip()):
            return min(int(found[1] or found[2]), MAX_WAIT)
    return None


class Patience:
    """How long this caller wants to wait for a task's end, and the waiting."""

    def __init__(self, request: Request, response: Response, hub: TaskHub, seconds: int | None) -> None:
        self._request = request
        self._response = response
        self._hub = hub
        self._seconds = seconds

    async def end_of(self, task: Task) -> Task:
        """The task once it has ended, or as it is when the time is over, the caller gone or this process stopping.

        Where too many wait already, nobody more does: a preference is none that must be honoured.
        """
        if self._seconds is None or not self._hub.has_room:
            return task
        self._response.headers["Preference-Applied"] = f"wait={self._seconds}"
        with self._hub.watching(task) as watcher:
            listening = asyncio.create_task(self._end_with_caller(watcher))
            try:
                await _over(watcher, self._seconds)
            finally:
                listening.cancel()
            return watcher.task

    async def _end_with_caller(self, watcher: Watcher) -> None:
        receive = _until_gone(self._request.receive, watcher)
        while (await receive())["type"] != "http.disconnect":
            pass
        watcher.end()


async def patience_of(request: Request, response: Response, prefer: Prefer = None) -> Patience:
    """Return how long the request's `Prefer` headers ask to wait. FastAPI would construct a class in a thread."""
    return Patience(request, response, await hub_of(request), wait_seconds(prefer or ()))


PatienceOf = Annotated[Patience, Depends(patience_of)]


def _until_gone(receive: Receive, watcher: Watcher) -> Receive:
    """`receive` for listening whether the caller is still there: who sends more than may be read is not waited for."""

    async def listening() -> Message:
        try:
            return await receive()
        except HTTPException:
            watcher.end()
            await asyncio.Event().wait()  # while the answer is ended as it should be: its end cancels this
            raise

    return listening


async def _over(watcher: Watcher, seconds: float) -> None:
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not watcher.over and (left := deadline - clock()) > 0:
        await watcher.news(left)


def task_events(hub: TaskHub, task: Task, last_event_id: str | None, *, seconds: float | None = None) -> Response:
    """Answer with the events of a task from now on; a caller who has seen its end is told not to come again.

    After so many `seconds` the answer ends, and whoever wants to know more comes back; None: it goes on.

    Raises `TooManyWatchers`.
    """
    if task.status.is_final and last_event_id == TaskEvent(task).id:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    if not hub.has_room:
        raise TooManyWatchers(
            f"{hub.watchers} callers watch tasks here already: try again, or ask for the task itself."
        )
    return _EventStream(hub, task, last_event_id, seconds)


class TaskEvent:
    """A task's state as an event; its id is made of what it says, so every process gives the same one."""

    def __init__(self, task: Task) -> None:
        self._name = "end" if task.status.is_final else "progress"
        # ASCII alone: some readers take more characters for a line's end than there are (U+2028).
        self._data = json.dumps(TaskView.of(task).model_dump(mode="json"))
        self.id = blake2b(self._data.encode(), digest_size=8).hexdigest()

    def encode(self) -> bytes:
        """The event as the stream has it (HTML standard, "Server-sent events")."""
        return f"event: {self._name}\nid: {self.id}\ndata: {self._data}\n\n".encode()


class _EventStream(Response):
    """A task's events for as long as the caller reads; the watch ends with the answer, however that ends."""

    def __init__(self, hub: TaskHub, task: Task, last_event_id: str | None, seconds: float | None) -> None:
        super().__init__()
        self._hub = hub
        self._task = task
        self._last_event_id = last_event_id
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        with self._hub.watching(self._task) as watcher:
            if self._seconds is not None:
                asyncio.get_running_loop().call_later(self._seconds, watcher.end)
            events = _events(watcher, self._last_event_id)
            stream = StreamingResponse(events, media_type="text/event-stream", headers=STREAM_HEADERS)
            await stream(scope, _until_gone(receive, watcher), send)


async def _events(watcher: Watcher, seen: str | None) -> AsyncIterator[bytes]:
    yield RECONNECT
    while True:
        event = TaskEvent(watcher.task)
        if event.id != seen:
            yield event.encode()
            seen = event.id
        if watcher.over and event.id == TaskEvent(watcher.task).id:
            return
        while not watcher.over and not await watcher.news(HEARTBEAT):
            yield STILL_WAITING
