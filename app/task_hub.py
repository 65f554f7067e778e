"""Lets any number of callers of this process watch tasks, by one question to the database for all of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from uuid import UUID

import structlog

from app.client.loop_throttle import LoopThrottle
from app.errors import SupabaseError
from app.models import Task
from app.persistence.watched_tasks import MAX_KNOWN, UNKNOWN, Changes, WatchedTasks

POLL_INTERVAL = 0.25
"""Seconds from one call's beginning to the next one's: at most four a second, however many watch."""

RETRY_DELAY = 1.0
"""Seconds before the next call after one that failed."""

CALL_TIMEOUT = 5.0
"""Seconds for one call: what hangs longer is asked anew."""

MAX_WATCHERS = 5_000

log = structlog.get_logger(__name__)


class Watcher:
    """One caller's watch on a task. It keeps the newest state alone: who takes it late costs no more."""

    def __init__(self, task: Task, since: int = 0) -> None:
        self.task = task
        self.since = since
        """How many calls the hub had begun when the watch began: their responses may be older than `task`."""
        self.ended = task.status.is_final
        """Whether nothing more will come: the task has ended, or this process stops."""
        self._updated = asyncio.Event()

    async def wait_for_update(self, within: float) -> bool:
        """Wait until there is something new, `within` seconds at most; says whether there is."""
        try:
            async with asyncio.timeout(within):
                await self._updated.wait()
        except TimeoutError:
            return False
        self._updated.clear()
        return True

    def update(self, task: Task) -> None:
        """The task is now like this."""
        self.ended = self.ended or task.status.is_final
        if task != self.task:
            self.task = task
            self._updated.set()

    def end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self._updated.set()


class _Watched:
    """A task that somebody watches, and the version in which it was last seen."""

    def __init__(self) -> None:
        self.version = UNKNOWN
        self.watchers: set[Watcher] = set()

    @property
    def can_change(self) -> bool:
        """Whether somebody waits for more of it."""
        return not all(watcher.ended for watcher in self.watchers)

    def since(self, call: int) -> list[Watcher]:
        """Who watched before this call began; what it says may be older than what later watchers have read."""
        return [watcher for watcher in self.watchers if watcher.since < call]


class TaskHub:
    """Asks for all watched tasks at once, for as long as somebody watches, and tells those who do.

    The database's troubles are waited out: watchers hear nothing meanwhile, and everything afterwards.
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
        """Whether one more may watch."""
        return len(self._watchers) < self._max_watchers

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask while the context is open."""
        self._start()
        try:
            yield
        finally:
            self.release()
            if self._polling is not None:
                self._polling.cancel()
                await asyncio.gather(self._polling, return_exceptions=True)

    def release(self) -> None:
        """The process stops: nobody waits any longer, and whoever comes is not kept."""
        self._released = True
        for watcher in self._watchers:
            watcher.end()

    @contextmanager
    def watching(self, task: Task) -> Iterator[Watcher]:
        """Watch a task, from the state in which it was read; forgotten with the block."""
        watcher = Watcher(task, self._calls)
        watcher.ended = watcher.ended or self._released
        self._watchers.add(watcher)
        if not watcher.ended:
            watched = self._watched.setdefault(task.task_id, _Watched())
            watched.watchers.add(watcher)
            # Others may have heard of a change that came after this caller's reading.
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
            for watched in self._watched.values():  # whoever asked before may not have told everybody
                watched.version = UNKNOWN
            self._polling = asyncio.create_task(self._poll(), name="task hub")
            self._polling.add_done_callback(self._restart)

    def _restart(self, asking: asyncio.Task[None]) -> None:
        """Begin anew: whatever it was that ended it, callers still wait."""
        if not self._released:
            error = None if asking.cancelled() else asking.exception()
            log.error("task hub died, and is started anew", exc_info=error)
            asyncio.get_running_loop().call_later(RETRY_DELAY, self._start)

    async def _poll(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self._has_watchers.wait()
            begun = clock()
            try:
                calls = await self._poll_once()
            except (SupabaseError, TimeoutError) as error:
                log.warning("watched tasks not read", watchers=self.watchers, error=str(error))
                await asyncio.sleep(RETRY_DELAY)
            else:
                await asyncio.sleep(begun + POLL_INTERVAL * max(1, calls) - clock())

    async def _poll_once(self) -> int:
        """Ask for all of which more can come; returns how many calls it took."""
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
        """Tell the watchers that were there when the call began; the next call asks for the others."""
        for change in changes.changed:
            watched = self._watched.get(change.task.task_id)
            if watched is not None:
                there = watched.since(call)
                watched.version = change.version if len(there) == len(watched.watchers) else UNKNOWN
                for watcher in there:
                    # Who is told has an answer to write: a few in one iteration of the loop.
                    await self._throttle.enter()
                    watcher.update(change.task)
        for task_id in changes.gone:
            if task_id in self._watched:
                for watcher in self._watched[task_id].since(call):
                    watcher.end()
