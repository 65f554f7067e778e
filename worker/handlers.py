"""Kind to work: what a fetch and a digest task do with the services."""

from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from app.digest.service import DigestService, EditionPending
from app.errors import PermanentError
from app.fetch_service import FetchService
from app.models import Profile, TaskKind
from app.persistence.queue import ClaimedTask
from app.ranking.ranking import RankingSettings
from worker.deliveries import CallbackHandler
from worker.job import Handler, Handlers, Job, Snooze

EDITION_CHECK = timedelta(seconds=1)
"""How soon a digest looks again for the edition that it waits for."""


class DigestPayload(BaseModel):
    """The payload of a digest task, as the API writes it."""

    profile: Profile
    max_papers: int = Field(12, ge=0, le=50)
    max_news: int = Field(6, ge=0, le=50)


def build_handlers(fetches: FetchService, digests: DigestService, callbacks: CallbackHandler) -> Handlers:
    """Say for every kind of task how it is done, and how long that may take."""

    async def fetch(job: Job) -> dict[str, Any]:
        edition = await fetches.fetch(_source_date(job.task), job.report)
        return {"status": edition.status.value, "counts": edition.counts, "errors": edition.errors}

    async def digest(job: Job) -> dict[str, Any]:
        try:
            payload = DigestPayload.model_validate(job.task.payload)
        except ValidationError as error:
            raise PermanentError(f"the digest's payload cannot be read: {error}") from error
        settings = RankingSettings(papers=payload.max_papers, news=payload.max_news)
        try:
            written, page = await digests.write(
                job.task.task_id, _source_date(job.task), payload.profile, settings, job.report
            )
        except EditionPending as waiting:
            raise Snooze(EDITION_CHECK, str(waiting)) from waiting
        return {"digest": written.model_dump(mode="json"), "html": page}

    return {
        TaskKind.FETCH: Handler(fetch, timedelta(minutes=10)),
        TaskKind.DIGEST: Handler(digest, timedelta(minutes=5)),
        TaskKind.CALLBACK: Handler(callbacks, timedelta(seconds=30)),
    }


def _source_date(task: ClaimedTask) -> date:
    if task.source_date is None:
        raise PermanentError(f"the task {task.task_id} has no source_date")
    return task.source_date
