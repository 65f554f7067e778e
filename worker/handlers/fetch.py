"""A fetch task: the service's own gathers a day's edition; a caller's waits for that one, which all share."""

from datetime import date, timedelta
from typing import Any, assert_never

from app.errors import PermanentError
from app.fetch_service import FetchPostponed, FetchService
from app.models import TaskStatus
from app.persistence.tasks import TaskStateManager
from worker.job import Job, Snooze

FETCH_PATIENCE = timedelta(hours=1)
"""For how long a fetch waits for sources that ask to be left alone; then the edition goes without them."""


FETCH_CHECK = timedelta(minutes=1)
"""How soon a request looks again for the fetch that it waits for, if its end has not woken it."""


class FetchHandler:
    """Fetches the day that the task names, or waits for the fetch that all share."""

    def __init__(self, fetches: FetchService, tasks: TaskStateManager) -> None:
        self._fetches = fetches
        self._tasks = tasks

    async def __call__(self, job: Job) -> dict[str, Any]:
        """Fetch. Raises `PermanentError`, `SourceError`, `SupabaseError`, and `Snooze` while sources are busy."""
        if job.task.source_date is None:
            raise PermanentError(f"the task {job.task.task_id} has no source_date")
        if job.task.payload.get("shared"):
            return await self._join(job, job.task.source_date)
        patience = max(timedelta(0), FETCH_PATIENCE - job.task.waited)
        try:
            edition = await self._fetches.fetch(job.task.source_date, job.report, patience)
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
                raise Snooze(FETCH_CHECK, f"waiting for the fetch of {source_date}", fetch.task_id)
            case _ as never:
                assert_never(never)
