"""A digest task: writes a reader's digest of a day, once the day's edition is there."""

from datetime import timedelta

from pydantic import BaseModel, Field, ValidationError

from app.digest.service import DigestService, EditionPending
from app.errors import PermanentError
from app.models import MAX_ITEMS, Profile
from app.persistence.outcomes import Completed
from app.ranking.ranking import RankingSettings
from worker.job import Job, Snooze

EDITION_CHECK = timedelta(minutes=1)
"""How soon a digest looks again for the edition that it waits for, if the end of its fetch has not woken it."""


class DigestPayload(BaseModel):
    """The payload of a digest task, as the API writes it."""

    profile: Profile
    max_papers: int = Field(12, ge=0, le=MAX_ITEMS)
    max_news: int = Field(6, ge=0, le=MAX_ITEMS)


class DigestHandler:
    """Writes the digest that the task asks for."""

    def __init__(self, digests: DigestService) -> None:
        self._digests = digests

    async def __call__(self, job: Job) -> Completed:
        """Write. Raises `PermanentError`, `SupabaseError`, and `Snooze` while the edition is being fetched."""
        task = job.task
        if task.source_date is None:
            raise PermanentError(f"the task {task.task_id} has no source_date")
        try:
            payload = DigestPayload.model_validate(task.payload)
        except ValidationError as error:
            raise PermanentError(f"the digest's payload cannot be read: {error}") from error
        settings = RankingSettings(papers=payload.max_papers, news=payload.max_news)
        try:
            written, page = await self._digests.write(
                task.task_id, task.source_date, payload.profile, settings, job.report
            )
        except EditionPending as waiting:
            raise Snooze(EDITION_CHECK, str(waiting), waiting.fetch_id) from waiting
        items = len(written.papers) + len(written.news)
        return Completed({"items": items}, {"digest": written.model_dump(mode="json"), "page": page})
