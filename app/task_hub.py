"""Lets many callers of this process watch tasks, with one polling query for all of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from uuid import UUID

import structlog

from app.client.loop_throttle import LoopThrottle
from app.errors import SupabaseError
from app.models.tasks import Task
from app.persistence.watched_tasks import MAX_KNOWN, UNKNOWN, Changes, WatchedTasks

POLL_INTERVAL = 0.25
"""Seconds from the start of one call to the start of the next: at most four per second for all watchers."""

RETRY_DELAY = 1.0
"""Seconds before the next call after a failed one."""

CALL_TIMEOUT = 5.0
"""Seconds for one call; after that it is repeated."""

MAX_WATCHERS = 5_000

log = structlog.get_logger(__name__)


class Watcher:
    """One caller's watch on a task. It keeps only the newest state, so a slow caller needs no more memory."""

    def __init__(self, task: Task, calls_before: int = 0) -> None:
        self.task = task
        self.calls_before = calls_before
        """The number of calls that had started when the watch started: their responses may be older than `task`."""
        self.ended = task.status.is_final
        """Whether there will be no more updates: the task has ended, or this process stops."""
        self._updated = asyncio.Event()

    async def wait_for_update(self, within: float) -> bool:
        """Wait for an update, at most `within` seconds; returns whether there is one."""
        try:
            async with asyncio.timeout(within):
                await self._updated.wait()
        except TimeoutError:
            return False
        self._updated.clear()
        return True

    def update(self, task: Task) -> None:
        """Set the task's new state and wake the caller if it differs."""
        self.ended = self.ended or task.status.is_final
        if task != self.task:
            self.task = task
            self._updated.set()

    def end(self) -> None:
        """End the watch: there will be no more updates."""
        self.ended = True
        self._updated.set()


class _Watched:
    """A watched task, its last known version and its watchers."""

    def __init__(self) -> None:
        self.version = UNKNOWN
        self.watchers: set[Watcher] = set()

    @property
    def can_change(self) -> bool:
        """Whether a watcher still waits for updates."""
        return not all(watcher.ended for watcher in self.watchers)

    def before(self, call: int) -> list[Watcher]:
        """Return the watchers that started before this call; the response may be older than what later ones read."""
        return [watcher for watcher in self.watchers if watcher.calls_before < call]


class TaskHub:
    """Polls all watched tasks at once while there are watchers, and notifies them.

    During an outage of the database, watchers receive nothing; afterwards they receive the newest state.
    """

    def __init__(self, tasks: WatchedTasks, *, max_watchers: int = MAX_WATCHERS) -> None:
        self._tasks = tasks
        self._max_watchers = max_watchers
        self._watched: dict[UUID, _Watched] = {}
        self._watchers: set[Watcher] = set()
        self._has_watchers = asyncio.Event()
        self._throttle = LoopThrottle()
        self._released = False
        self._calls = 0
        self._polling: asyncio.Task[None] | None = None

    @property
    def has_capacity(self) -> bool:
        """Whether the hub accepts one more watcher."""
        return len(self._watchers) < self._max_watchers

    @property
    def watchers(self) -> int:
        """The number of watchers."""
        return len(self._watchers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Poll while the context is open."""
        self._start()
        try:
            yield
        finally:
            self.release()
            if self._polling is not None:
                self._polling.cancel()
                await asyncio.gather(self._polling, return_exceptions=True)

    def release(self) -> None:
        """End all watches, and later ones immediately, because the process stops."""
        self._released = True
        for watcher in self._watchers:
            watcher.end()

    @contextmanager
    def watching(self, task: Task) -> Iterator[Watcher]:
        """Watch a task, starting from its state as read by the caller, until the context closes."""
        watcher = Watcher(task, self._calls)
        watcher.ended = watcher.ended or self._released
        self._watchers.add(watcher)
        if not watcher.ended:
            watched = self._watched.setdefault(task.task_id, _Watched())
            watched.watchers.add(watcher)
            # The last known version may be newer than what this caller has read.
            watched.version = UNKNOWN
            self._has_watchers.set()
        try:
            yield watcher
        finally:
            self._forget(watcher)

    def _forget(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        watched = self._watched.get(watcher.task.task_id)
        if watched is not None:
            watched.watchers.discard(watcher)
            if not watched.watchers:
                del self._watched[watcher.task.task_id]
        if not self._watched:
            self._has_watchers.clear()

    def _start(self) -> None:
        if not self._released:
            for watched in self._watched.values():  # the previous poll may not have notified all watchers
                watched.version = UNKNOWN
            self._polling = asyncio.create_task(self._poll(), name="task hub")
            self._polling.add_done_callback(self._restart)

    def _restart(self, asking: asyncio.Task[None]) -> None:
        """Restart the polling after an unexpected end, because callers still wait."""
        if not self._released:
            error = None if asking.cancelled() else asking.exception()
            log.error("task hub failed; restarting", exc_info=error)
            asyncio.get_running_loop().call_later(RETRY_DELAY, self._start)

    async def _poll(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self._has_watchers.wait()
            started = clock()
            try:
                calls = await self._poll_once()
            except (SupabaseError, TimeoutError) as error:
                log.warning("watched tasks not read", watchers=self.watchers, error=str(error))
                await asyncio.sleep(RETRY_DELAY)
            else:
                await asyncio.sleep(started + POLL_INTERVAL * max(1, calls) - clock())

    async def _poll_once(self) -> int:
        """Poll all tasks that can change; returns the number of calls."""
        known = iter([(task_id, watched.version) for task_id, watched in self._watched.items() if watched.can_change])
        calls = 0
        while batch := dict(islice(known, MAX_KNOWN)):
            self._calls = call = self._calls + 1
            async with asyncio.timeout(CALL_TIMEOUT):
                changes = await self._tasks.changes(batch)
            await self._notify(changes, call)
            calls += 1
        return calls

    async def _notify(self, changes: Changes, call: int) -> None:
        """Notify the watchers that existed when the call started; the next call serves the others."""
        for change in changes.changed:
            watched = self._watched.get(change.task.task_id)
            if watched is not None:
                notified = watched.before(call)
                watched.version = change.version if len(notified) == len(watched.watchers) else UNKNOWN
                for watcher in notified:
                    # Each notified caller writes a response: only a few per iteration of the loop.
                    await self._throttle.enter()
                    watcher.update(change.task)
        for task_id in changes.gone:
            if task_id in self._watched:
                for watcher in self._watched[task_id].before(call):
                    watcher.end()
