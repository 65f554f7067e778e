"""The worker's loop: one sync call at a time, up to `concurrency` tasks at once, all in one event loop."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from uuid import UUID

import structlog
from structlog.contextvars import bind_contextvars

from app.persistence.queue import ClaimedTask, Lease, Outcome, SyncAnswer, TaskQueue
from app.persistence.tasks import TaskStateManager
from worker.job import Abort, Handlers, Job, perform
from worker.sync import Syncer

log = structlog.get_logger(__name__)

COALESCE = 0.002
"""Seconds that a finished task waits for others, so that their outcomes travel together."""

LAST_CALL = 5.0
"""Seconds after the grace period in which what is left is released; with it, less than the platform's kill timeout."""

SHORT_WAIT, BUSY_WAIT = 0.05, 0.4
"""Seconds until the next call: short after work, doubled with each call in vain up to the idle wait; with tasks in hand
no longer than the other, for somebody may want to cancel them."""


@dataclass(frozen=True)
class Limits:
    """How much a worker takes on, and for how long."""

    concurrency: int
    lease: timedelta
    grace: timedelta
    idle_wait: timedelta = timedelta(seconds=0.4)


class Worker:
    """Claims tasks, runs their handlers, reports what came of them; `run` is the loop, `run_once` one turn of it."""

    def __init__(
        self,
        queue: TaskQueue,
        tasks: TaskStateManager,
        handlers: Handlers,
        limits: Limits,
        *,
        random: Random,
        on_outcome: Callable[[ClaimedTask, Outcome, float], None],
    ) -> None:
        self._tasks = tasks
        self._handlers = handlers
        self._limits = limits
        self._random = random
        self._on_outcome = on_outcome
        self._jobs: dict[UUID, Job] = {}
        self._outcomes: dict[Lease, Outcome] = {}
        self._syncer = Syncer(queue, random)
        self._wake = asyncio.Event()
        self._stopping = False
        self._wait = SHORT_WAIT

    @property
    def in_hand(self) -> int:
        """How many tasks are being worked on."""
        return len(self._jobs)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then let tasks finish for the grace period, release the rest, and return."""
        patience = asyncio.timeout(None)
        stopper = asyncio.create_task(self._stop_when(stop, patience))
        try:
            async with patience:
                while not (self._stopping and not self._jobs and not self._outcomes):
                    await self._pause(await self.run_once())
        except TimeoutError:
            log.warning(
                "stopped without an answer from Supabase: leases run out by themselves", left=len(self._outcomes)
            )
        finally:
            stopper.cancel()
            ended = self._abort(self._jobs.values(), Abort.SHUTDOWN)
            await asyncio.gather(stopper, *ended, return_exceptions=True)

    async def run_once(self) -> float:
        """Make one sync call and act on the answer; returns the seconds until the next one is due."""
        sent = dict(self._outcomes)
        renewed = self._due_for_renewal()
        slots = 0 if self._stopping else self._limits.concurrency - len(self._jobs)
        answer = await self._syncer.sync(sent, [job.task.lease for job in renewed], slots)
        now = asyncio.get_running_loop().time()
        for lease in sent:
            del self._outcomes[lease]
        for job in renewed:
            job.renewed_at = now
        self._obey(answer)
        for task in answer.claimed:
            self._start(task, now)
        return self._next_wait(answer)

    async def _stop_when(self, stop: asyncio.Event, patience: asyncio.Timeout) -> None:
        """Claim no more once `stop` is set, end what still runs after the grace period, and then wait no longer."""
        await stop.wait()
        log.info("stopping", in_hand=len(self._jobs), grace=self._limits.grace.total_seconds())
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

    def _due_for_renewal(self) -> list[Job]:
        due = asyncio.get_running_loop().time() - self._limits.lease.total_seconds() / 3
        return [job for job in self._jobs.values() if job.renewed_at <= due]

    def _obey(self, answer: SyncAnswer) -> None:
        for verdict in answer.outcomes:
            if verdict.verdict != "applied":
                log.warning("outcome not applied", task_id=str(verdict.task_id), verdict=verdict.verdict)
        self._abort(self._held(answer.lost), Abort.LEASE_LOST)
        self._abort(self._held(answer.cancel), Abort.CANCEL_REQUESTED)

    def _held(self, task_ids: Iterable[UUID]) -> list[Job]:
        return [self._jobs[task_id] for task_id in task_ids if task_id in self._jobs]

    def _abort(self, jobs: Iterable[Job], why: Abort) -> list["asyncio.Task[None]"]:
        aborted = list(jobs)
        for job in aborted:
            job.cancel(why)
        return [job.running for job in aborted if job.running is not None]

    def _start(self, task: ClaimedTask, now: float) -> None:
        job = Job(task, self._tasks, renewed_at=now)
        self._jobs[task.task_id] = job
        job.running = asyncio.create_task(self._work(job, now))

    async def _work(self, job: Job, started: float) -> None:
        """Do one task from its claim to its outcome. Never raises: what went wrong is the outcome."""
        # Never unbound: the context is this coroutine's own, and ends with it.
        bind_contextvars(task_id=str(job.task.task_id), request_id=job.task.payload.get("request_id"))
        outcome = await perform(job, self._handlers[job.task.kind], self._random)
        del self._jobs[job.task.task_id]
        if outcome is not None:
            self._outcomes[job.task.lease] = outcome
            self._on_outcome(job.task, outcome, asyncio.get_running_loop().time() - started)
        self._wake.set()

    def _next_wait(self, answer: SyncAnswer) -> float:
        """Seconds until the next call: short after work, longer while idle, in time for leases and delayed tasks."""
        busy = bool(answer.claimed or answer.outcomes)
        longest = self._limits.idle_wait.total_seconds()
        self._wait = SHORT_WAIT if busy else min(BUSY_WAIT if self._jobs else longest, longest, self._wait * 2)
        wait = self._wait * self._random.uniform(0.5, 1.0)
        if answer.next_task_seconds is not None:
            wait = min(wait, max(answer.next_task_seconds, SHORT_WAIT / 10))
        return min(wait, self._limits.lease.total_seconds() / 3)
