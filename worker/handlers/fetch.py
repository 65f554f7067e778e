"""A fetch task: gathers a day's edition, and waits for sources that are busy."""

from datetime import timedelta
from typing import Any

from app.errors import PermanentError
from app.fetch_service import FetchPostponed, FetchService
from worker.job import Job, Snooze

FETCH_PATIENCE = timedelta(hours=1)
"""For how long a fetch waits for sources that ask to be left alone; then the edition goes without them."""


class FetchHandler:
    """Fetches the day that the task names."""

    def __init__(self, fetches: FetchService) -> None:
        self._fetches = fetches

    async def __call__(self, job: Job) -> dict[str, Any]:
        """Fetch. Raises `PermanentError`, `SourceError`, `SupabaseError`, and `Snooze` while sources are busy."""
        if job.task.source_date is None:
            raise PermanentError(f"the task {job.task.task_id} has no source_date")
        patience = max(timedelta(0), FETCH_PATIENCE - job.task.waited)
        try:
            edition = await self._fetches.fetch(job.task.source_date, job.report, patience)
        except FetchPostponed as waiting:
            raise Snooze(waiting.delay, str(waiting)) from waiting
        return {"status": edition.status.value, "counts": edition.counts, "errors": edition.errors}
