"""The worker's loop: one sync call at a time, up to `concurrency` tasks at once, all in one event loop."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import structlog

from app.logs import bind_log_context
from app.models import TaskKind
from app.persistence.outcomes import Failed, Lease, Outcome
from app.persistence.queue import ClaimedTask, Progress, SyncAnswer, TaskQueue
from worker.job import Abort, Handlers, Job, perform
from worker.sync import Slots, Syncer
from worker.watchdog import LoopHealth, Watchdog

log = structlog.get_logger(__name__)

COALESCE = 0.002
"""Seconds that a finished task waits for others, so that their outcomes travel local_service."""

SHOW_EVERY, LATE_EVERY = 0.25, 0.1
"""Seconds between two calls that come early for progress alone, and between two looks for tasks that take too long."""

LAST_CALL = 5.0
"""Seconds after the grace period in which what is left is released; with it, less than the platform's kill timeout."""

SHORT_WAIT, BUSY_WAIT = 0.05, 0.4
"""Seconds until the next call: short after work, doubled with each call in vain up to the idle wait; with tasks in hand
no longer than the other, for somebody may want to cancel them."""


@dataclass(frozen=True)
class WorkerLimits:
    """How much a worker takes on, and for how long; `kind_slots`: no more than so many at once of a kind."""

    concurrency: int
    lease: timedelta
    grace: timedelta
    poll_interval: timedelta = timedelta(seconds=0.4)
    kind_slots: Mapping[TaskKind, int] = field(default_factory=dict)


class Worker:
    """Claims tasks, runs their handlers, reports what came of them; `run` is the loop, `run_once` one turn of it."""

    def __init__(
        self,
        queue: TaskQueue,
        handlers: Handlers,
        limits: WorkerLimits,
        *,
        random: Random,
        on_outcome: Callable[[ClaimedTask, Outcome, float], None],
    ) -> None:
        self._handlers = handlers
        self._limits = limits
        self._random = random
        self._on_outcome = on_outcome
        # By lease, not by task: a worker may hold a task anew that it has just lost.
        self._jobs: dict[Lease, Job] = {}
        self._outcomes: dict[Lease, Outcome] = {}
        self._progress: dict[Lease, Progress] = {}
        self._early: asyncio.TimerHandle | None = None
        self._called_at = 0.0
        self._pulse = Watchdog()
        self._syncer = Syncer(queue, random, self._pulse, limits.lease)
        self._wake = asyncio.Event()
        self._stopping = False
        self._wait = SHORT_WAIT

    @property
    def running_tasks(self) -> int:
        """How many tasks are being worked on."""
        return len(self._jobs)

    @property
    def turns(self) -> int:
        """How many sync calls have ended, answered or not."""
        return self._pulse.turns

    def health(self) -> LoopHealth:
        """How the loop stands now."""
        return self._pulse.health(len(self._jobs))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then let tasks finish for the grace period, release the rest, and return.

        Raises an `ExceptionGroup` if it can no longer be stopped in that way.
        """
        patience = asyncio.timeout(None)
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(self._stop_when(stop, patience)), group.create_task(self._end_what_is_late())]
            try:
                async with patience:
                    while not (self._stopping and not self._jobs and not self._outcomes):
                        await self._pause(await self.run_once())
            except TimeoutError:
                log.warning("stopped with work left: its leases expire by themselves", **self._left())
            finally:
                for task in beside:
                    task.cancel()
                await self._abandon()

    async def run_once(self) -> float:
        """Make one sync call and act on the answer; returns the seconds until the next one is due."""
        sent = dict(self._outcomes)
        shown, self._progress = self._progress, {}
        answer = await self._syncer.sync(sent, shown, self._slots())
        now = self._called_at = asyncio.get_running_loop().time()
        for lease in sent:
            del self._outcomes[lease]
        self._handle_cancellations(answer)
        for task in answer.claimed:
            self._start(task, now)
        for lease in answer.unreadable:
            log.error("a claimed task cannot be read", task_id=str(lease.task_id))
            self._outcomes[lease] = Failed(error="the task's row cannot be read by its worker", retry_in=None)
        return self._next_wait(answer, busy=bool(answer.claimed or sent))

    async def _stop_when(self, stop: asyncio.Event, patience: asyncio.Timeout) -> None:
        """Claim no more once `stop` is set, end what still runs after the grace period, and then wait no longer."""
        await stop.wait()
        log.info("stopping", running_tasks=len(self._jobs), grace=self._limits.grace.total_seconds())
        self._stopping = True
        self._wake.set()
        await asyncio.sleep(self._limits.grace.total_seconds())
        self._abort(self._jobs.values(), Abort.SHUTDOWN)
        patience.reschedule(asyncio.get_running_loop().time() + LAST_CALL)

    async def _pause(self, seconds: float) -> None:
        """Wait until the next call is due or a task ends; then a moment more, for others that are about to end."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
            if self._jobs:
                await asyncio.sleep(COALESCE)
        except TimeoutError:
            pass
        self._wake.clear()

    def _show(self, lease: Lease, progress: Progress) -> None:
        """Keep what a task has to show for the next call, which comes early for it, but no more often than that."""
        self._progress[lease] = progress
        if self._early is None:
            loop = asyncio.get_running_loop()
            self._early = loop.call_at(max(loop.time(), self._called_at + SHOW_EVERY), self._show_now)

    def _show_now(self) -> None:
        self._early = None
        if self._progress:
            self._wake.set()

    async def _end_what_is_late(self) -> None:
        """Cancel tasks that take longer than their kind may: one look at all, rather than a timer for each."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LATE_EVERY)
            now = loop.time()
            self._abort((job for job in self._jobs.values() if job.deadline < now), Abort.TIMEOUT)
            self._name_deaf(now)

    def _name_deaf(self, now: float) -> None:
        """Say once of each task that ignores its cancellation: it keeps its slot until the worker ends."""
        for job in self._jobs.values():
            if job.deadline + LAST_CALL < now and not job.named:
                job.named = True
                log.error("a task ignores its cancellation and keeps its slot: restart the worker", task=str(job))

    async def _abandon(self) -> None:
        """Cancel what is in hand, and wait for it, but not forever: a handler may ignore its cancellation."""
        # What was cancelled at the end of the grace period had its time.
        asked_before = all(job.abort is Abort.SHUTDOWN for job in self._jobs.values())
        self._abort(self._jobs.values(), Abort.SHUTDOWN)
        running = [job.running for job in self._jobs.values() if job.running is not None]
        if running and (await asyncio.wait(running, timeout=0 if asked_before else LAST_CALL))[1]:
            log.error("tasks ignore their cancellation", **self._left())

    def _left(self) -> dict[str, Any]:
        """What the log says of the work that a stop leaves behind."""
        running = [str(job) for job in self._jobs.values()]
        return {"outcomes_not_sent": len(self._outcomes), "running_tasks": running}

    def _slots(self) -> Slots:
        """What may be claimed now: in all, and of the kinds that have slots of their own."""
        if self._stopping:
            return Slots(0)
        running_tasks = Counter(job.task.kind for job in self._jobs.values()) if self._limits.kind_slots else {}
        free = {kind: max(0, slots - running_tasks.get(kind, 0)) for kind, slots in self._limits.kind_slots.items()}
        return Slots(self._limits.concurrency - len(self._jobs), free)

    def _handle_cancellations(self, answer: SyncAnswer) -> None:
        for verdict in answer.not_applied:
            log.warning("outcome not applied", task_id=str(verdict.task_id), verdict=verdict.verdict)
        if answer.leases is not None:
            self._compare(set(answer.leases))
        self._abort(self._jobs_for(answer.cancel), Abort.CANCEL_REQUESTED)

    def _compare(self, held: set[Lease]) -> None:
        """Drop what was taken from this worker, and give back what it holds without knowing of it."""
        self._abort(self._jobs_for(self._jobs.keys() - held), Abort.LEASE_LOST)
        for lease in held - self._jobs.keys() - self._outcomes.keys():
            log.error("held without being known", task_id=str(lease.task_id))
            self._outcomes[lease] = Failed(error="its worker never read that it had claimed it", retry_in=timedelta(0))

    def _jobs_for(self, leases: Iterable[Lease]) -> list[Job]:
        return [self._jobs[lease] for lease in leases if lease in self._jobs]

    def _abort(self, jobs: Iterable[Job], why: Abort) -> None:
        for job in list(jobs):
            job.cancel(why)

    def _start(self, task: ClaimedTask, now: float) -> None:
        job = Job(task, now + self._handlers[task.kind].timeout.total_seconds(), self._show)
        self._jobs[task.lease] = job
        # The name is what the log says where the handler ignores its cancellation.
        job.running = asyncio.create_task(self._work(job, now), name=str(job))

    async def _work(self, job: Job, started: float) -> None:
        """Do one task from its claim to its outcome. Never raises: what went wrong is the outcome."""
        bind_log_context(job.described)
        try:
            outcome = await perform(job, self._handlers[job.task.kind], self._random)
        finally:
            del self._jobs[job.task.lease]
        if outcome is not None:
            self._outcomes[job.task.lease] = outcome
        self._wake.set()
        if outcome is not None:
            self._on_outcome(job.task, outcome, asyncio.get_running_loop().time() - started)

    def _next_wait(self, answer: SyncAnswer, *, busy: bool) -> float:
        """Seconds until the next call: short after work, longer while idle, in time for leases and delayed tasks."""
        longest = self._limits.poll_interval.total_seconds()
        self._wait = SHORT_WAIT if busy else min(BUSY_WAIT if self._jobs else longest, longest, self._wait * 2)
        wait = self._wait * self._random.uniform(0.5, 1.0)
        if answer.next_task_seconds is not None:
            wait = min(wait, max(answer.next_task_seconds, SHORT_WAIT / 10))
        return min(wait, self._limits.lease.total_seconds() / 3)
