"""Digest tasks: write the digest of a day's edition, or a reader's scheduled digest of new items."""

from datetime import date, timedelta
from uuid import UUID

from pydantic import BaseModel, ValidationError

from app.days import day_before
from app.digest.scheduled import FetchRunning, NoSourceRead, ScheduledDigest, ScheduledDigests
from app.digest.service import DigestService, EditionPending
from app.errors import PermanentError
from app.models.digests import Digest
from app.models.profiles import DigestSize, Profile
from app.persistence.outcomes import Completed
from app.ranking.ranking import RankingSettings
from worker.job import Job, Snooze

EDITION_CHECK = timedelta(minutes=1)
"""How often a digest checks the edition that it waits for, if the end of the fetch does not wake it."""


class ScheduledFor(BaseModel):
    """The reader whose schedule created the task, and the reader's day."""

    reader_id: UUID
    local_day: date


class DigestPayload(DigestSize):
    """The payload of a digest task, as the API and `enqueue_due()` write it."""

    profile: Profile
    scheduled: ScheduledFor | None = None


class DigestHandler:
    """Writes the digest of a task."""

    def __init__(self, digests: DigestService, scheduled: ScheduledDigests) -> None:
        self._digests = digests
        self._scheduled = scheduled

    async def __call__(self, job: Job) -> Completed:
        """Write the digest. Raises `PermanentError`, `SupabaseError`, and `Snooze` while it waits for a fetch."""
        try:
            payload = DigestPayload.model_validate(job.task.payload)
        except ValidationError as error:
            raise PermanentError(f"the digest's payload cannot be read: {error}") from error
        settings = RankingSettings(papers=payload.max_papers, news=payload.max_news)
        if payload.scheduled is not None:
            digest = await self._write_scheduled(job, payload.scheduled, payload.profile, settings)
        else:
            digest = await self._write_for_edition(job, payload.profile, settings)
        items = len(digest.papers) + len(digest.news)
        return Completed({"items": items}, digest.model_dump(mode="json"))

    async def _write_for_edition(self, job: Job, profile: Profile, settings: RankingSettings) -> Digest:
        task = job.task
        if task.source_date is None:
            raise PermanentError(f"the task {task.task_id} has no source_date")
        try:
            return await self._digests.write(
                task.task_id, task.source_date, profile, settings, job.report, waited=task.waited
            )
        except EditionPending as waiting:
            raise Snooze(EDITION_CHECK, str(waiting), waiting.fetch_id) from waiting

    async def _write_scheduled(
        self, job: Job, scheduled: ScheduledFor, profile: Profile, settings: RankingSettings
    ) -> Digest:
        task = job.task
        source_date = task.source_date or day_before(scheduled.local_day)
        due = ScheduledDigest(task.task_id, scheduled.reader_id, scheduled.local_day, source_date, task.waited)
        try:
            return await self._scheduled.write(due, profile, settings, job.report)
        except FetchRunning as waiting:
            left = max(waiting.max_wait, timedelta(0))
            raise Snooze(min(EDITION_CHECK, left), str(waiting), waiting.fetch_id) from waiting
        except NoSourceRead as unread:
            raise Snooze(EDITION_CHECK, str(unread)) from unread
