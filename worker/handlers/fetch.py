"""A fetch task: the service's own gathers a day's edition; a caller's waits for that one, which all share."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any, Final, assert_never

from app.errors import PermanentError
from app.fetch_service import FetchPostponed, FetchService
from app.models import TaskStatus
from app.persistence.tasks import TaskStateManager
from worker.job import Job, Snooze

FETCH_PATIENCE: Final = timedelta(hours=1)
"""For how long a fetch that has read some sources waits for essential ones; then the edition goes without them."""

FETCH_CHECK: Final = timedelta(minutes=1)
"""How soon a request looks again for the fetch that it waits for, if its end has not woken it."""

LONGEST_PAUSE: Final = timedelta(minutes=10)
"""How long a fetch sleeps between two tries at most, unless its sources ask for more."""

CALLERS_TURN: Final = timedelta(seconds=5)
"""How soon a caller's fetch looks again whether it may have a slot."""


class FetchHandler:
    """Fetches the day that the task names, or waits for the fetch that all share.

    Days that callers asked for occupy `caller_slots` at most, so that one is left for the service's own fetches.
    """

    def __init__(self, fetches: FetchService, tasks: TaskStateManager, *, caller_slots: int = 1) -> None:
        self._fetches = fetches
        self._tasks = tasks
        self._caller_slots = caller_slots
        self._of_callers = 0

    async def __call__(self, job: Job) -> dict[str, Any]:
        """Fetch. Raises `PermanentError`, `SourceError`, `SupabaseError`; `Snooze` while sources are unavailable."""
        if job.task.source_date is None:
            raise PermanentError(f"the task {job.task.task_id} has no source_date")
        if job.task.payload.get("shared"):
            return await self._join(job, job.task.source_date)
        with self._slot(job):
            return await self._fetch(job, job.task.source_date)

    @contextmanager
    def _slot(self, job: Job) -> Iterator[None]:
        """Hold one of the slots that callers' days may occupy, if it is one. Raises `Snooze` while they are taken."""
        of_caller = job.task.payload.get("requested_by") is not None
        if of_caller and self._of_callers >= self._caller_slots:
            raise Snooze(CALLERS_TURN, "other days that callers asked for are being fetched")
        self._of_callers += of_caller
        try:
            yield
        finally:
            self._of_callers -= of_caller

    async def _fetch(self, job: Job, source_date: date) -> dict[str, Any]:
        task = job.task
        patience = max(timedelta(0), FETCH_PATIENCE - task.waited)
        # The longer it lasts, the less often it is tried.
        pause = min(task.waited / 4, LONGEST_PAUSE)
        try:
            edition = await self._fetches.fetch(source_date, task.task_id, job.report, patience, pause=pause)
        except FetchPostponed as waiting:
            raise Snooze(waiting.delay, str(waiting)) from waiting
        return {"status": edition.status.value, "counts": edition.counts, "errors": edition.errors}

    async def _join(self, job: Job, source_date: date) -> dict[str, Any]:
        """End as the service's fetch of the day ends, if that ends after the request was made."""
        fetch = await self._tasks.ensure_fetch(source_date, waiting=job.task.task_id, afresh=True)
        match fetch.status:
            case TaskStatus.COMPLETED:
                return {"fetch": str(fetch.task_id)}
            case TaskStatus.FAILED | TaskStatus.CANCELLED:
                raise PermanentError(f"{source_date} could not be fetched: {fetch.error or fetch.status}")
            case TaskStatus.PENDING | TaskStatus.RUNNING:
                known = f": {fetch.error}" if fetch.error else ""
                raise Snooze(FETCH_CHECK, f"waiting for the fetch of {source_date}{known}", fetch.task_id)
            case _ as never:
                assert_never(never)
