"""Fetch tasks: the service's own fetch reads a day's edition; a caller's task waits for this shared fetch."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from typing import Any, Final, assert_never

import structlog

from app.errors import PermanentError, SupabaseUnavailable
from app.fetch_service import FetchPostponed, FetchService
from app.models.tasks import TaskStatus
from app.persistence.outcomes import Lease
from app.persistence.tasks import TaskStateManager
from worker.job import Job, Snooze

log = structlog.get_logger(__name__)

MAX_ESSENTIAL_WAIT: Final = timedelta(hours=1)
"""How long a fetch that has read some sources waits for essential ones. Then the edition is partial."""

FETCH_CHECK: Final = timedelta(minutes=1)
"""How often a caller's task checks the fetch that it waits for, if the end of the fetch does not wake it."""

LONGEST_PAUSE: Final = timedelta(minutes=10)
"""The most time between two attempts of a fetch, unless its sources require more."""

SLOT_CHECK: Final = timedelta(seconds=5)
"""How often a caller's fetch checks for a free slot."""


class FetchHandler:
    """Fetches the task's day, or waits for the shared fetch of that day.

    Fetches for callers use at most `caller_slots`, so that a slot is left for the service's own fetches.
    """

    def __init__(self, fetches: FetchService, tasks: TaskStateManager, *, caller_slots: int = 1) -> None:
        self._fetches = fetches
        self._tasks = tasks
        self._caller_slots = caller_slots
        self._caller_fetches = 0

    async def __call__(self, job: Job) -> dict[str, Any]:
        """Fetch the day. Raises `PermanentError`, `SourceError`, `SupabaseError`; `Snooze` while it must wait."""
        if job.task.source_date is None:
            raise PermanentError(f"the task {job.task.task_id} has no source_date")
        if job.task.payload.get("shared"):
            return await self._wait_for_shared_fetch(job, job.task.source_date)
        with self._slot(job):
            return await self._fetch(job, job.task.source_date)

    @contextmanager
    def _slot(self, job: Job) -> Iterator[None]:
        """Hold a caller slot if the fetch is for a caller. Raises `Snooze` while all of them are in use."""
        for_caller = job.task.payload.get("requested_by") is not None
        if for_caller and self._caller_fetches >= self._caller_slots:
            raise Snooze(SLOT_CHECK, "other days are being fetched for callers")
        self._caller_fetches += for_caller
        try:
            yield
        finally:
            self._caller_fetches -= for_caller

    async def _fetch(self, job: Job, source_date: date) -> dict[str, Any]:
        task = job.task
        max_wait = max(timedelta(0), MAX_ESSENTIAL_WAIT - task.waited)
        # The longer an outage lasts, the rarer the attempts.
        pause = min(task.waited / 4, LONGEST_PAUSE)
        report = partial(self._report, task.lease)
        try:
            edition = await self._fetches.fetch(source_date, task.task_id, report, max_wait, pause=pause)
        except FetchPostponed as postponed:
            raise Snooze(postponed.delay, str(postponed)) from postponed
        return {"status": edition.status.value, "counts": edition.counts, "errors": edition.errors}

    async def _report(self, lease: Lease, message: str, progress: float) -> None:
        """Record the progress at once, not with the next sync call: a fetch that has lost its lease stops here.

        Raises `LeaseLost`. An outage does not stop the fetch.
        """
        task_id, token = lease
        try:
            await self._tasks.update_task(task_id, lease_token=token, message=message, progress=progress)
        except SupabaseUnavailable as error:
            log.warning("progress not recorded", task_id=str(task_id), error=str(error))

    async def _wait_for_shared_fetch(self, job: Job, source_date: date) -> dict[str, Any]:
        """End with the outcome of the service's fetch of the day, if that ends after this task was created."""
        fetch = await self._tasks.ensure_fetch(source_date, waiting=job.task.task_id, refetch=True)
        match fetch.status:
            case TaskStatus.COMPLETED:
                return {"fetch": str(fetch.task_id)}
            case TaskStatus.FAILED | TaskStatus.CANCELLED:
                raise PermanentError(f"{source_date} could not be fetched: {fetch.error or fetch.status}")
            case TaskStatus.PENDING | TaskStatus.RUNNING:
                reason = f": {fetch.error}" if fetch.error else ""
                raise Snooze(FETCH_CHECK, f"waiting for the fetch of {source_date}{reason}", fetch.task_id)
            case _ as never:
                assert_never(never)
