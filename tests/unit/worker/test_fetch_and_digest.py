"""Fetch and digest tasks: their requests, their waits and their results."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from app.digest.scheduled import FetchRunning, ScheduledDigest, ScheduledDigests
from app.digest.service import DigestService, EditionPending
from app.errors import BroadsheetError, LeaseLost, PermanentError, SupabaseUnavailable
from app.fetch_service import FetchPostponed, FetchService
from app.models.articles import Edition, EditionStatus
from app.models.digests import Digest
from app.models.profiles import Profile
from app.models.tasks import TaskKind, TaskStatus
from app.models.values import ReportProgress
from app.persistence.outcomes import Completed, Lease
from app.persistence.queue import ClaimedTask
from app.persistence.tasks import TaskStateManager
from app.ranking.ranking import RankingSettings
from worker.handlers.digest import DigestHandler
from worker.handlers.fetch import FetchHandler
from worker.job import Job, Snooze

TASK, FETCH, READER = UUID(int=1), UUID(int=2), UUID(int=3)
DAY, NOW = date(2026, 3, 4), datetime(2026, 3, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PROFILE = Profile(name="Ada", interests=("radar",))
OF = {"reader_id": str(READER), "local_day": "2026-03-05"}


def job(payload: dict[str, Any], *, day: date | None = DAY, waited: timedelta = timedelta(0)) -> Job:
    task = ClaimedTask(Lease(TASK, uuid4()), TaskKind.FETCH, 1, 5, waited, day, payload)
    return Job(task, 0.0, lambda *_: None)


class RecordingService:
    """Replaces a service: returns or raises what the test sets, and records its calls."""

    def __init__(self, answer: Any) -> None:
        self.calls: list[Any] = []
        self._answer = answer

    async def take(self, *calls: Any, **named: Any) -> Any:
        self.calls.append((*calls, named) if named else calls)
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer

    fetch = ensure_fetch = write = take


def fetches(service: Any = None, tasks: Any = None) -> FetchHandler:
    return FetchHandler(cast(FetchService, service), cast(TaskStateManager, tasks))


def digests(service: Any = None, scheduled: Any = None) -> DigestHandler:
    return DigestHandler(cast(DigestService, service), cast(ScheduledDigests, scheduled))


@pytest.mark.parametrize(("waited", "patience"), [(0, 60), (59, 1), (60, 0), (300, 0)])
async def test_a_fetch_waits_an_hour_and_returns_source_counts(waited: int, patience: int) -> None:
    errors, counts = {"feed:a": "down"}, {"arxiv": 3}
    found = {"counts": counts, "errors": errors, "created_at": NOW, "updated_at": NOW}
    service = RecordingService(Edition.model_validate({"source_date": DAY, "status": EditionStatus.PARTIAL, **found}))
    working = job({}, waited=waited * MINUTE)
    assert await fetches(service)(working) == {"status": "partial", "counts": counts, "errors": errors}
    pause = {"pause": min(waited / 4, 10) * MINUTE}
    ((*asked, report, max_wait, options),) = service.calls
    assert (asked, max_wait, options) == ([DAY, TASK], patience * MINUTE, pause)
    assert callable(report)


class Reports:
    """Replaces the tasks: records progress, or raises what the test sets."""

    def __init__(self, error: BroadsheetError | None = None) -> None:
        self.reported: list[tuple[Any, ...]] = []
        self._error = error

    async def update_task(self, task_id: UUID, **values: Any) -> None:
        self.reported.append((task_id, values))
        if self._error is not None:
            raise self._error


class ReportingService:
    """A fetch that reports its progress and then ends."""

    async def fetch(self, _day: date, _task: UUID, report: ReportProgress, *_: Any, **__: Any) -> Edition:
        await report("half", 0.5)
        row = {"source_date": DAY, "status": EditionStatus.COMPLETED, "created_at": NOW, "updated_at": NOW}
        return Edition.model_validate(row)


@pytest.mark.parametrize("error", [None, SupabaseUnavailable("down")], ids=["recorded", "an outage"])
async def test_a_fetch_records_its_progress_under_its_lease(error: BroadsheetError | None) -> None:
    tasks, working = Reports(error), job({})
    assert (await fetches(ReportingService(), tasks)(working))["status"] == "completed"
    token = working.task.lease.lease_token
    assert tasks.reported == [(TASK, {"lease_token": token, "message": "half", "progress": 0.5})]


async def test_a_fetch_without_its_lease_stops_at_its_report() -> None:
    with pytest.raises(LeaseLost):
        await fetches(ReportingService(), Reports(LeaseLost("another worker has it")))(job({}))


async def test_a_snoozed_fetch_waits_as_long_as_its_sources_ask() -> None:
    with pytest.raises(Snooze, match=r"^arxiv is busy$") as put_off:
        await fetches(RecordingService(FetchPostponed(7 * MINUTE, "arxiv is busy")))(job({}))
    assert (put_off.value.delay, put_off.value.waits_for) == (7 * MINUTE, None)


@pytest.mark.parametrize("handler", [fetches(), digests()])
async def test_a_task_without_a_day_fails(handler: Any) -> None:
    with pytest.raises(PermanentError, match=rf"^the task {TASK} has no source_date$"):
        await handler(job({"profile": {"name": "Ada"}}, day=None))


async def shared(status: TaskStatus, error: str | None = None) -> Any:
    """Join a fetch with this status; checks that the request is repeated and names the waiting task."""
    tasks = RecordingService(SimpleNamespace(task_id=FETCH, status=status, error=error))
    try:
        return await fetches(tasks=tasks)(job({"shared": True}))
    finally:
        assert tasks.calls == [(DAY, {"waiting": TASK, "refetch": True})]


async def test_a_callers_fetch_ends_like_the_shared_one() -> None:
    assert await shared(TaskStatus.COMPLETED) == {"fetch": str(FETCH)}
    with pytest.raises(PermanentError, match=r"^2026-03-04 could not be fetched: all are down$"):
        await shared(TaskStatus.FAILED, "all are down")
    with pytest.raises(PermanentError, match=r"^2026-03-04 could not be fetched: cancelled$"):
        await shared(TaskStatus.CANCELLED)
    for status in (TaskStatus.PENDING, TaskStatus.RUNNING):
        with pytest.raises(Snooze, match=r"^waiting for the fetch of 2026-03-04$") as waiting:
            await shared(status)
        assert (waiting.value.delay, waiting.value.waits_for) == (MINUTE, FETCH)


def written() -> Digest:
    fields = {"source_date": DAY, "papers": (), "news": (), "edition": EditionStatus.COMPLETED}
    return Digest.model_construct(**cast(Any, fields))


@pytest.mark.parametrize(
    ("calls", "settings"),
    [
        ({}, RankingSettings(papers=12, news=6)),
        ({"max_papers": 0, "max_news": 3}, RankingSettings(papers=0, news=3)),
        ({"max_papers": 5, "max_news": 0}, RankingSettings(papers=5, news=0)),
    ],
)
async def test_a_digest_is_of_a_day_or_of_a_readers_new_items(calls: dict[str, int], settings: RankingSettings) -> None:
    payload = {"profile": PROFILE.model_dump(), **calls}
    service, scheduled = RecordingService(written()), RecordingService(written())
    day, new = job(payload), job(payload | {"scheduled": OF}, waited=MINUTE)
    for working in (day, new):
        ended = await digests(service, scheduled)(working)
        assert isinstance(ended, Completed)
        assert ended.result == {"items": 0}
        assert ended.digest == written().model_dump(mode="json")
    assert service.calls == [(TASK, DAY, PROFILE, settings, day.report, {"waited": timedelta(0)})]
    due = ScheduledDigest(TASK, READER, date(2026, 3, 5), DAY, MINUTE)
    assert scheduled.calls == [(due, PROFILE, settings, new.report)]


@pytest.mark.parametrize(
    "wrong", [{"max_papers": -1}, {"max_news": -1}, {"max_papers": 10**6}, {"max_news": 10**6}, {"profile": 7}]
)
async def test_an_invalid_digest_request_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PermanentError, match=r"^the digest's payload cannot be read: "):
        await digests()(job({"profile": {"name": "Ada"}} | wrong))


async def test_a_digest_checks_for_its_edition_every_minute() -> None:
    service = RecordingService(EditionPending("the edition of the day is not there", FETCH))
    with pytest.raises(Snooze, match=r"^the edition of the day is not there$") as waiting:
        await digests(service)(job({"profile": PROFILE.model_dump()}))
    assert (waiting.value.delay, waiting.value.waits_for) == (MINUTE, FETCH)


@pytest.mark.parametrize(("left", "delay"), [(600, 60), (30, 30), (0, 0), (-300, 0)])
async def test_a_readers_digest_checks_every_minute(left: int, delay: int) -> None:
    working = job({"profile": PROFILE.model_dump(), "scheduled": OF})
    running = FetchRunning("waiting for a fetch", FETCH, timedelta(seconds=left))
    with pytest.raises(Snooze, match=r"^waiting for a fetch$") as waiting:
        await digests(scheduled=RecordingService(running))(working)
    assert (waiting.value.delay, waiting.value.waits_for) == (timedelta(seconds=delay), FETCH)
