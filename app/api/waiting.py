"""Alternatives to polling a task: `Prefer: wait=20` (RFC 7240) and server-sent events.

The routes read the task first, which checks that the caller may see it.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import blake2b
from http import HTTPStatus
from typing import Annotated, Any, cast

from fastapi import Depends, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import WithJsonSchema
from starlette.types import Message, Receive, Scope, Send

from app.api.models import TaskView
from app.errors import BroadsheetError
from app.models.tasks import Task
from app.task_hub import TaskHub, Watcher

MAX_WAIT = 60
"""Maximum seconds that a request waits."""

KEEPALIVE_INTERVAL = 15.0
"""Seconds without an event after which a stream sends a comment, so that proxies do not close the connection."""

KEEPALIVE_COMMENT = b": still waiting\n\n"

RETRY_HINT = b"retry: 2000\n\n"
"""Milliseconds after which a browser reconnects."""

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Proxies must not cache or buffer events (the second header is nginx's)."""

MAX_PREFER = 500
"""Characters of the Prefer headers that are parsed."""

PREFERENCE = re.compile(r'(?:[^",]|"(?:\\.|[^"\\])*")+')
WAIT = re.compile(r'wait\s*=\s*(?:(\d{1,9})|"(\d{1,9})")', re.IGNORECASE)

Prefer = Annotated[
    list[str] | None,
    # The header may be repeated. The document declares it once, because generators drop routes with list headers.
    WithJsonSchema({"type": "string"}),
    Header(
        description="`wait=20` delays the response until the task has ended, or for 20 seconds "
        f"(maximum {MAX_WAIT}). `Preference-Applied` in the response confirms it.",
        examples=[["wait=20"]],
    ),
]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=100,
        description="The `id` of the last received event, which is not sent again.",
    ),
]
EVENT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "A `progress` event for each change and an `end` event; the data of each is the task",
    },
    204: {"description": "The `end` event was already received: do not reconnect"},
}


class TooManyWatchers(BroadsheetError):
    """One process serves no more waiting callers and streams."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


async def get_hub(request: Request) -> TaskHub:
    """Return the task hub of the running application."""
    return cast(TaskHub, request.app.state.hub)


HubOf = Annotated[TaskHub, Depends(get_hub)]


def wait_seconds(preferences: Sequence[str]) -> int | None:
    """Return the seconds of the first `wait` preference, up to `MAX_WAIT`, or None. Others are ignored (RFC 7240, 2).

    If there are several, the first one counts.
    """
    for preference in PREFERENCE.findall(",".join(preferences)[:MAX_PREFER]):
        if found := WAIT.fullmatch(preference.partition(";")[0].strip()):
            return min(int(found[1] or found[2]), MAX_WAIT)
    return None


class EndWaiter:
    """Waits for a task's end as long as the caller requested."""

    def __init__(self, request: Request, response: Response, hub: TaskHub, seconds: int | None) -> None:
        self._request = request
        self._response = response
        self._hub = hub
        self._seconds = seconds

    async def wait_for_end(self, task: Task) -> Task:
        """Return the task when it has ended, the time is over, the caller has disconnected or the process stops.

        Does not wait if the hub has no capacity: a server may ignore a preference.
        """
        if self._seconds is None or not self._hub.has_capacity:
            return task
        self._response.headers["Preference-Applied"] = f"wait={self._seconds}"
        with self._hub.watching(task) as watcher:
            disconnected = asyncio.create_task(self._end_on_disconnect(watcher))
            try:
                await _wait_until_ended(watcher, self._seconds)
            finally:
                disconnected.cancel()
            return watcher.task

    async def _end_on_disconnect(self, watcher: Watcher) -> None:
        receive = _end_watch_on_large_body(self._request.receive, watcher)
        while (await receive())["type"] != "http.disconnect":
            pass
        watcher.end()


async def get_end_waiter(request: Request, response: Response, prefer: Prefer = None) -> EndWaiter:
    """Return the request's `EndWaiter`. A class as a dependency would be constructed in a thread."""
    return EndWaiter(request, response, await get_hub(request), wait_seconds(prefer or ()))


EndWaiterOf = Annotated[EndWaiter, Depends(get_end_waiter)]


def _end_watch_on_large_body(receive: Receive, watcher: Watcher) -> Receive:
    """Wrap `receive`, which is used to notice a disconnect: a body that is too large also ends the watch."""

    async def guarded() -> Message:
        try:
            return await receive()
        except HTTPException:
            watcher.end()
            await asyncio.Event().wait()  # until the end of the response cancels this
            raise

    return guarded


async def _wait_until_ended(watcher: Watcher, seconds: float) -> None:
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not watcher.ended and (left := deadline - clock()) > 0:
        await watcher.wait_for_update(left)


ShowTask = Callable[[Task], dict[str, Any]]
"""Returns the data of a task's event, as JSON."""


def show_all(task: Task) -> dict[str, Any]:
    """Show a task as callers see it."""
    return TaskView.of(task).model_dump(mode="json")


def task_events(
    hub: TaskHub,
    task: Task,
    last_event_id: str | None,
    *,
    seconds: float | None = None,
    show: ShowTask = show_all,
) -> Response:
    """Respond with the events of a task from now on; with 204 if the caller has received the `end` event.

    After `seconds` the response ends and the browser reconnects; None means no limit.

    Raises `TooManyWatchers`.
    """
    if task.status.is_final and last_event_id == TaskEvent(task, show).id:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    if not hub.has_capacity:
        raise TooManyWatchers(f"This server already has {hub.watchers} watchers: try again later, or poll the task.")
    return _EventStream(hub, task, last_event_id, seconds, show)


class TaskEvent:
    """A task's state as an event. Its id is a hash of its data, so every process computes the same id."""

    def __init__(self, task: Task, show: ShowTask = show_all) -> None:
        self._name = "end" if task.status.is_final else "progress"
        # ASCII only: some parsers treat more characters as line ends than the standard does (U+2028).
        self._data = json.dumps(show(task))
        self.id = blake2b(self._data.encode(), digest_size=8).hexdigest()

    def encode(self) -> bytes:
        """Return the event in the stream's format (HTML standard, "Server-sent events")."""
        return f"event: {self._name}\nid: {self.id}\ndata: {self._data}\n\n".encode()


class _EventStream(Response):
    """Streams a task's events. The watch ends with the response, however that ends."""

    def __init__(
        self, hub: TaskHub, task: Task, last_event_id: str | None, seconds: float | None, show: ShowTask
    ) -> None:
        super().__init__()
        self._hub = hub
        self._task = task
        self._last_event_id = last_event_id
        self._seconds = seconds
        self._show = show

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        with self._hub.watching(self._task) as watcher:
            if self._seconds is not None:
                asyncio.get_running_loop().call_later(self._seconds, watcher.end)
            events = _events(watcher, self._last_event_id, self._show)
            stream = StreamingResponse(events, media_type="text/event-stream", headers=STREAM_HEADERS)
            await stream(scope, _end_watch_on_large_body(receive, watcher), send)


async def _events(watcher: Watcher, seen: str | None, show: ShowTask) -> AsyncIterator[bytes]:
    yield RETRY_HINT
    while True:
        event = TaskEvent(watcher.task, show)
        if event.id != seen:
            yield event.encode()
            seen = event.id
        if watcher.ended and event.id == TaskEvent(watcher.task, show).id:
            return
        while not watcher.ended and not await watcher.wait_for_update(KEEPALIVE_INTERVAL):
            yield KEEPALIVE_COMMENT
