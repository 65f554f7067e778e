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

KEEPALIVE_INTERVAL = 15.0
"""Seconds without news after which a stream sends a comment, so that nobody between takes it for dead."""

KEEPALIVE_COMMENT = b": still waiting\n\n"

RETRY_HINT = b"retry: 2000\n\n"
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


async def get_hub(request: Request) -> TaskHub:
    """The hub of the running application."""
    hub: TaskHub = request.app.state.hub
    return hub


HubOf = Annotated[TaskHub, Depends(get_hub)]


def wait_seconds(preferences: Sequence[str]) -> int | None:
    """How long `Prefer` headers ask to wait, up to `MAX_WAIT`; what is no such preference is passed over (RFC 7240, 2).

    The first one counts where there are several.
    """
    for preference in PREFERENCE.findall(",".join(preferences)[:MAX_PREFER]):
        if found := WAIT.fullmatch(preference.partition(";")[0].strip()):
            return min(int(found[1] or found[2]), MAX_WAIT)
    return None


class EndWaiter:
    """How long this caller wants to wait for a task's end, and the waiting."""

    def __init__(self, request: Request, response: Response, hub: TaskHub, seconds: int | None) -> None:
        self._request = request
        self._response = response
        self._hub = hub
        self._seconds = seconds

    async def wait_for_end(self, task: Task) -> Task:
        """The task once it has ended, or as it is when the time is over, the caller gone or this process stopping.

        Where too many wait already, nobody more does: a preference is none that must be honoured.
        """
        if self._seconds is None or not self._hub.has_capacity:
            return task
        self._response.headers["Preference-Applied"] = f"wait={self._seconds}"
        with self._hub.watching(task) as watcher:
            listening = asyncio.create_task(self._end_on_disconnect(watcher))
            try:
                await _wait_until_ended(watcher, self._seconds)
            finally:
                listening.cancel()
            return watcher.task

    async def _end_on_disconnect(self, watcher: Watcher) -> None:
        receive = _end_watch_on_large_body(self._request.receive, watcher)
        while (await receive())["type"] != "http.disconnect":
            pass
        watcher.end()


async def get_end_waiter(request: Request, response: Response, prefer: Prefer = None) -> EndWaiter:
    """Return how long the request's `Prefer` headers ask to wait. FastAPI would construct a class in a thread."""
    return EndWaiter(request, response, await get_hub(request), wait_seconds(prefer or ()))


EndWaiterOf = Annotated[EndWaiter, Depends(get_end_waiter)]


def _end_watch_on_large_body(receive: Receive, watcher: Watcher) -> Receive:
    """`receive` for listening whether the caller is still there: who sends more than may be read is not waited for."""

    async def listening() -> Message:
        try:
            return await receive()
        except HTTPException:
            watcher.end()
            await asyncio.Event().wait()  # while the answer is ended as it should be: its end cancels this
            raise

    return listening


async def _wait_until_ended(watcher: Watcher, seconds: float) -> None:
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not watcher.ended and (left := deadline - clock()) > 0:
        await watcher.wait_for_update(left)


def task_events(hub: TaskHub, task: Task, last_event_id: str | None, *, seconds: float | None = None) -> Response:
    """Answer with the events of a task from now on; a caller who has seen its end is told not to come again.

    After so many `seconds` the answer ends, and whoever wants to know more comes back; None: it goes on.

    Raises `TooManyWatchers`.
    """
    if task.status.is_final and last_event_id == TaskEvent(task).id:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    if not hub.has_capacity:
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
            await stream(scope, _end_watch_on_large_body(receive, watcher), send)


async def _events(watcher: Watcher, seen: str | None) -> AsyncIterator[bytes]:
    yield RETRY_HINT
    while True:
        event = TaskEvent(watcher.task)
        if event.id != seen:
            yield event.encode()
            seen = event.id
        if watcher.ended and event.id == TaskEvent(watcher.task).id:
            return
        while not watcher.ended and not await watcher.wait_for_update(KEEPALIVE_INTERVAL):
            yield KEEPALIVE_COMMENT
