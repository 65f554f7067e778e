"""The claim loop: one sync call at a time, up to `concurrency` tasks at once, all in one event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import structlog

from app.models.tasks import TaskKind
from app.persistence.outcomes import Failed, Lease, Outcome
from app.persistence.queue import ClaimedTask, Progress, SyncResponse, TaskQueue
from app.process.logs import bind_log_context
from worker.attempt_spans import choose_perform
from worker.job import Abort, Handlers, Job
from worker.places import WAIT_LIMIT, Places
from worker.sync_calls import Slots, Syncer
from worker.watchdog import LoopHealth, Watchdog

log = structlog.get_logger(__name__)

COALESCE = 0.002
"""Seconds that an ended task waits for others, so that one call sends their outcomes together."""

PROGRESS_INTERVAL, TIMEOUT_CHECK_INTERVAL = 0.25, 0.1
"""The least seconds between two calls made only for progress, and the seconds between two checks of time limits."""

RELEASE_TIMEOUT = 5.0
"""Seconds after the grace period to release the remaining tasks. Both together stay below the platform's kill timeout.
"""

SHORT_WAIT, BUSY_WAIT = 0.05, 0.4
"""Seconds until the next call: the first after work, doubled with each call without work up to the poll interval. While
tasks run, at most the second, because they may be cancelled."""


@dataclass(frozen=True)
class WorkerLimits:
    """How many tasks a worker runs at once, also per kind (`kind_slots`), and its lease, grace period and polling."""

    concurrency: int
    lease: timedelta
    grace: timedelta
    poll_interval: timedelta = timedelta(seconds=0.4)
    kind_slots: Mapping[TaskKind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkState:
    """A worker after a sync call: the kinds of its running tasks, and whether its next call has something to do.

    `next_task_seconds`: the time until the next delayed task is ready; None: there is none, or it is not known.
    """

    running: frozenset[TaskKind]
    busy: bool
    next_task_seconds: float | None


class Worker:
    """Claims tasks, runs their handlers and reports their outcomes. `run` is the loop, `run_once` one call of it."""

    def __init__(
        self,
        queue: TaskQueue,
        handlers: Handlers,
        limits: WorkerLimits,
        *,
        random: Random,
        on_outcome: Callable[[ClaimedTask, Outcome, float], None],
        after_call: Callable[[WorkState], Awaitable[None]] | None = None,
    ) -> None:
        """`after_call` is awaited after each sync call: no task is claimed meanwhile."""
        self._handlers = handlers
        self._limits = limits
        self._random = random
        self._on_outcome = on_outcome
        self._after_call = after_call
        self._perform = choose_perform()
        # By lease, not by task: a worker may claim a task again that it has just lost.
        self._jobs: dict[Lease, Job] = {}
        self._places = Places(limits.concurrency, limits.kind_slots)
        self._outcomes: dict[Lease, Outcome] = {}
        self._progress: dict[Lease, Progress] = {}
        self._progress_timer: asyncio.TimerHandle | None = None
        self._called_at = 0.0
        self._watchdog = Watchdog()
        self._syncer = Syncer(queue, random, self._watchdog, limits.lease)
        self._wake = asyncio.Event()
        self._stopping = False
        self._wait = SHORT_WAIT

    @property
    def running_tasks(self) -> int:
        """The number of running tasks."""
        return self._places.running

    @property
    def calls(self) -> int:
        """The number of sync calls that have ended, with or without a response."""
        return self._watchdog.calls

    def health(self) -> LoopHealth:
        """Return the current state of the loop."""
        return self._watchdog.health(self.running_tasks)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then let tasks finish for the grace period, release the rest, and return.

        Raises an `ExceptionGroup` if a background task that stops it has failed.
        """
        timeout = asyncio.timeout(None)
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(self._stop_when(stop, timeout)),
                group.create_task(self._check_time_limits()),
            ]
            try:
                async with timeout:
                    while not (self._stopping and not self._jobs and not self._outcomes):
                        await self._pause(await self.run_once())
            except TimeoutError:
                log.warning("stopped with unfinished work, its leases will expire", **self._unfinished())
            finally:
                for task in background:
                    task.cancel()
                await self._abandon()

    async def run_once(self) -> float:
        """Make one sync call and handle its response. Return the seconds until the next one is due."""
        sent = dict(self._outcomes)
        progress, self._progress = self._progress, {}
        response = await self._syncer.sync(sent, progress, self._slots())
        now = self._called_at = asyncio.get_running_loop().time()
        for lease in sent:
            del self._outcomes[lease]
        self._handle_cancellations(response)
        for task in response.claimed:
            self._add(task, now)
        self._start_waiting()
        if self._stopping:
            self._abort(self._waiting_jobs(), Abort.SHUTDOWN)
        for lease in response.unreadable:
            log.error("claimed task cannot be read", task_id=str(lease.task_id))
            self._outcomes[lease] = Failed(error="the worker cannot read the task's row", retry_in=None)
        if self._after_call is not None:
            running = frozenset(job.task.kind for job in self._jobs.values())
            busy = bool(response.claimed or self._outcomes)
            await self._after_call(WorkState(running, busy, response.next_task_seconds))
        return self._next_wait(response, busy=bool(response.claimed or sent))

    async def _stop_when(self, stop: asyncio.Event, loop_timeout: asyncio.Timeout) -> None:
        """When `stop` is set, stop claiming; after the grace period, cancel running tasks and limit the last calls."""
        await stop.wait()
        log.info("stopping", running_tasks=self.running_tasks, grace=self._limits.grace.total_seconds())
        self._stopping = True
        self._abort(self._waiting_jobs(), Abort.SHUTDOWN)
        self._wake.set()
        await asyncio.sleep(self._limits.grace.total_seconds())
        self._abort(self._jobs.values(), Abort.SHUTDOWN)
        loop_timeout.reschedule(asyncio.get_running_loop().time() + RELEASE_TIMEOUT)

    async def _pause(self, seconds: float) -> None:
        """Wait until the next call is due or a task ends; in the latter case, briefly wait for other tasks to end."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
            if self._jobs:
                await asyncio.sleep(COALESCE)
        except TimeoutError:
            pass
        self._wake.clear()

    def _queue_progress(self, lease: Lease, progress: Progress) -> None:
        """Keep a task's progress for the next call, which is made early, but at most once per `PROGRESS_INTERVAL`."""
        self._progress[lease] = progress
        if self._progress_timer is None:
            loop = asyncio.get_running_loop()
            due = max(loop.time(), self._called_at + PROGRESS_INTERVAL)
            self._progress_timer = loop.call_at(due, self._send_progress)

    def _send_progress(self) -> None:
        self._progress_timer = None
        if self._progress:
            self._wake.set()

    async def _check_time_limits(self) -> None:
        """Cancel tasks that exceed their time limit, and give back those that have waited too long for a place.

        One check of all tasks is cheaper than a timer for each.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TIMEOUT_CHECK_INTERVAL)
            now = loop.time()
            for job in [job for job in self._jobs.values() if job.deadline < now]:
                self._abort([job], Abort.NO_PLACE if job.running is None else Abort.TIMEOUT)
            self._log_stuck(now)

    def _log_stuck(self, now: float) -> None:
        """Log once each task that ignores its cancellation: it keeps its slot until the worker ends."""
        for job in self._jobs.values():
            if job.deadline + RELEASE_TIMEOUT < now and not job.stuck_logged:
                job.stuck_logged = True
                log.error("a task ignores its cancellation and keeps its slot: restart the worker", task=str(job))

    async def _abandon(self) -> None:
        """Cancel the running tasks and wait for them, but not forever: a handler may ignore its cancellation."""
        # Tasks cancelled at the end of the grace period have had their time.
        already_cancelled = all(job.abort is Abort.SHUTDOWN for job in self._jobs.values())
        self._abort(self._jobs.values(), Abort.SHUTDOWN)
        running = [job.running for job in self._jobs.values() if job.running is not None]
        if running and (await asyncio.wait(running, timeout=0 if already_cancelled else RELEASE_TIMEOUT))[1]:
            log.error("tasks ignore their cancellation", **self._unfinished())

    def _unfinished(self) -> dict[str, Any]:
        """Return the log fields of unfinished work."""
        running = [str(job) for job in self._jobs.values()]
        return {"outcomes_not_sent": len(self._outcomes), "running_tasks": running}

    def _slots(self) -> Slots:
        """Return the free slots: in total, and of the kinds that have slots of their own."""
        if self._stopping:
            return Slots(0)
        return self._places.slots(self._jobs.values())

    def _handle_cancellations(self, response: SyncResponse) -> None:
        for rejected in response.rejected_outcomes:
            log.warning("outcome not applied", task_id=str(rejected.task_id), verdict=rejected.verdict)
        if response.leases is not None:
            self._reconcile(set(response.leases))
        self._abort(self._jobs_for(response.cancel), Abort.CANCEL_REQUESTED)

    def _reconcile(self, leases: set[Lease]) -> None:
        """Cancel tasks whose lease was lost, and give back tasks whose claim this worker never read."""
        self._abort(self._jobs_for(self._jobs.keys() - leases), Abort.LEASE_LOST)
        for lease in leases - self._jobs.keys() - self._outcomes.keys():
            log.error("lease of a task that was never read", task_id=str(lease.task_id))
            self._outcomes[lease] = Failed(error="the worker never read its claim of the task", retry_in=timedelta(0))

    def _jobs_for(self, leases: Iterable[Lease]) -> list[Job]:
        return [self._jobs[lease] for lease in leases if lease in self._jobs]

    def _abort(self, jobs: Iterable[Job], reason: Abort) -> None:
        for job in list(jobs):
            job.cancel(reason)
            if job.running is None:
                self._start(job)  # its handler does not run: it ends with the outcome of its cancellation

    def _waiting_jobs(self) -> list[Job]:
        """Return the tasks that were claimed ahead and wait for a place."""
        return [job for job in self._jobs.values() if job.running is None]

    def _add(self, task: ClaimedTask, now: float) -> None:
        job = Job(task, now + WAIT_LIMIT, self._queue_progress)
        self._jobs[task.lease] = job
        self._places.add(job)

    def _start_waiting(self) -> None:
        """Start waiting tasks while there are places."""
        while (job := self._places.next_job()) is not None:
            self._start(job)

    def _start(self, job: Job) -> None:
        self._places.enter(job)
        now = asyncio.get_running_loop().time()
        job.deadline = now + self._handlers[job.task.kind].timeout.total_seconds()
        # The log uses the name if the handler ignores its cancellation.
        job.running = asyncio.create_task(self._work(job, now), name=str(job))

    async def _work(self, job: Job, started: float) -> None:
        """Run one task from its start to its outcome. Never raises: an error becomes the outcome."""
        bind_log_context(job.log_fields)
        try:
            outcome = await self._perform(job, self._handlers[job.task.kind], self._random)
        finally:
            del self._jobs[job.task.lease]
            seconds = asyncio.get_running_loop().time() - started
            self._places.leave(job, seconds)
        if outcome is not None:
            self._outcomes[job.task.lease] = outcome
        self._wake.set()
        self._start_waiting()
        if outcome is not None:
            self._on_outcome(job.task, outcome, seconds)

    def _next_wait(self, response: SyncResponse, *, busy: bool) -> float:
        """Return the seconds until the next call: short after work, longer while idle, in time for leases."""
        poll_interval = self._limits.poll_interval.total_seconds()
        longest = min(BUSY_WAIT, poll_interval) if self._jobs else poll_interval
        self._wait = SHORT_WAIT if busy else min(longest, self._wait * 2)
        wait = self._wait * self._random.uniform(0.5, 1.0)
        if response.next_task_seconds is not None:
            wait = min(wait, max(response.next_task_seconds, SHORT_WAIT / 10))
        return min(wait, self._limits.lease.total_seconds() / 3)
