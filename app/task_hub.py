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

PACE = 0.25
"""Seconds from one call's beginning to the next one's: at most four a second, however many watch."""

PAUSE = 1.0
"""Seconds before the next call after one that failed."""

ANSWER_WITHIN = 5.0
"""Seconds for one call: what hangs longer is asked anew."""

MAX_WATCHERS = 5_000

log = structlog.get_logger(__name__)


class Watcher:
    """One caller's watch on a task. It keeps the newest state alone: who takes it late costs no more."""

    def __init__(self, task: Task, since: int = 0) -> None:
        self.task = task
        self.since = since
        """How many calls the hub had begun when the watch began: their responses may be older than `task`."""
        self.over = task.status.is_final
        """Whether nothing more will come: the task has ended, or this process stops."""
        self._news = asyncio.Event()

    async def news(self, within: float) -> bool:
        """Wait until there is something new, `within` seconds at most; says whether there is."""
        try:
            async with asyncio.timeout(within):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    def tell(self, task: Task) -> None:
        """The task is now like this."""
        self.over = self.over or task.status.is_final
        if task != self.task:
            self.task = task
            self._news.set()

    def end(self) -> None:
        """Nothing more will come."""
        self.over = True
        self._news.set()


class _Watched:
    """A task that somebody watches, and the version in which it was last seen."""

    def __init__(self) -> None:
        self.version = UNKNOWN
        self.watchers: set[Watcher] = set()

    @property
    def can_change(self) -> bool:
        """Whether somebody waits for more of it."""
        return not all(watcher.over for watcher in self.watchers)

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
        self._somebody = asyncio.Event()
        self._turnstile = LoopThrottle()
        self._released = False
        self._calls = 0
        self._asking: asyncio.Task[None] | None = None

    @property
    def has_room(self) -> bool:
        """Whether one more may watch."""
        return len(self._watchers) < self._max_watchers

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask while the context is open."""
        self._begin()
        try:
            yield
        finally:
            self.release()
            if self._asking is not None:
                self._asking.cancel()
                await asyncio.gather(self._asking, return_exceptions=True)

    def release(self) -> None:
        """The process stops: nobody waits any longer, and whoever comes is not kept."""
        self._released = True
        for watcher in self._watchers:
            watcher.end()

    @contextmanager
    def watching(self, task: Task) -> Iterator[Watcher]:
        """Watch a task, from the state in which it was read; forgotten with the block."""
        watcher = Watcher(task, self._calls)
        watcher.over = watcher.over or self._released
        self._watchers.add(watcher)
        if not watcher.over:
            watched = self._watched.setdefault(task.task_id, _Watched())
            watched.watchers.add(watcher)
            # Others may have heard of a change that came after this caller's reading.
            watched.version = UNKNOWN
            self._somebody.set()
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
            self._somebody.clear()

    def _begin(self) -> None:
        if not self._released:
            for watched in self._watched.values():  # whoever asked before may not have told everybody
                watched.version = UNKNOWN
            self._asking = asyncio.create_task(self._ask(), name="task hub")
            self._asking.add_done_callback(self._ended)

    def _ended(self, asking: asyncio.Task[None]) -> None:
        """Begin anew: whatever it was that ended it, callers still wait."""
        if not self._released:
            error = None if asking.cancelled() else asking.exception()
            log.error("task hub died, and is started anew", exc_info=error)
            asyncio.get_running_loop().call_later(PAUSE, self._begin)

    async def _ask(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self._somebody.wait()
            begun = clock()
            try:
                calls = await self._ask_once()
            except (SupabaseError, TimeoutError) as error:
                log.warning("watched tasks not read", watchers=self.watchers, error=str(error))
                await asyncio.sleep(PAUSE)
            else:
                await asyncio.sleep(begun + PACE * max(1, calls) - clock())

    async def _ask_once(self) -> int:
        """Ask for all of which more can come; returns how many calls it took."""
        known = iter([(task_id, watched.version) for task_id, watched in self._watched.items() if watched.can_change])
        calls = 0
        while batch := dict(islice(known, MAX_KNOWN)):
            self._calls = call = self._calls + 1
            async with asyncio.timeout(ANSWER_WITHIN):
                changes = await self._tasks.changes(batch)
            await self._tell(changes, call)
            calls += 1
        return calls

    async def _tell(self, changes: Changes, call: int) -> None:
        """Tell the watchers that were there when the call began; the next call asks for the others."""
        for change in changes.changed:
            watched = self._watched.get(change.task.task_id)
            if watched is not None:
                there = watched.since(call)
                watched.version = change.version if len(there) == len(watched.watchers) else UNKNOWN
                for watcher in there:
                    # Who is told has an answer to write: a few in one iteration of the loop.
                    await self._turnstile.enter()
                    watcher.tell(change.task)
        for task_id in changes.gone:
            if task_id in self._watched:
                for watcher in self._watched[task_id].since(call):
                    watcher.end()
