"""How the end of a handler becomes the task's outcome, and what is logged of it."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from app.errors import (
    CircuitOpen,
    FetchLimitReached,
    LeaseLost,
    PermanentError,
    SchemaOutdated,
    SourceBusy,
    SourceError,
    SupabaseUnavailable,
    UnreadableResponse,
)
from app.models.tasks import TaskKind
from app.persistence.outcomes import Cancelled, Completed, Failed, Lease, Outcome, Released, Snoozed
from app.persistence.queue import ClaimedTask, Progress
from worker.job import Abort, Handler, Job, Snooze, perform

TASK, OTHER = uuid4(), uuid4()
SOON, LATER = timedelta(seconds=3), timedelta(minutes=7)


class UnreadableError(Exception):
    """An error whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError


def job(shown: list[Any] | None = None, **payload: Any) -> Job:
    task = ClaimedTask(Lease(TASK, UUID(int=1)), TaskKind.FETCH, 2, 5, timedelta(0), None, payload)
    return Job(task, 0.0, lambda lease, progress: None if shown is None else shown.append((lease, progress)))


def later(attempt: int, error: BaseException, _random: Random) -> timedelta:
    """Returns a delay that shows its arguments, the attempt and the error."""
    return LATER if isinstance(error, UnreadableError) else SOON * attempt


async def outcome_of(error: BaseException, *, abort: Abort | None = None) -> Outcome | None:
    async def work(job: Job) -> dict[str, Any]:
        job.abort = abort
        raise error

    return await perform(job(), Handler(work, timedelta(seconds=90), later), Random(1))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (LeaseLost("gone"), None),
        (Snooze(LATER, "busy", OTHER), Snoozed(LATER, "busy", OTHER)),
        (Snooze(LATER, "busy"), Snoozed(LATER, "busy")),
        (PermanentError("never"), Failed(error="never", retry_in=None)),
        (CircuitOpen("down", retry_after=24.0), Snoozed(timedelta(seconds=24), "down")),
        (SourceBusy("busy", retry_after=90.0), Snoozed(timedelta(seconds=90), "busy")),
        (FetchLimitReached("many", retry_after=30.0), Snoozed(timedelta(seconds=30), "many")),
        (TimeoutError("slow"), Failed(error="timeout: slow", retry_in=2 * SOON)),
        (UnreadableResponse("cut"), Failed(error="cut", retry_in=2 * SOON)),
        (SourceError("down"), Failed(error="down", retry_in=2 * SOON)),
        (LookupError("odd"), Failed(error="LookupError: odd", retry_in=2 * SOON)),
        (UnreadableError(), Failed(error="UnreadableError: (its text cannot be read)", retry_in=LATER)),
        (asyncio.CancelledError(), Failed(error="CancelledError: ", retry_in=2 * SOON)),
    ],
)
async def test_each_error_has_its_outcome(error: BaseException, outcome: Outcome | None) -> None:
    assert await outcome_of(error) == outcome


@pytest.mark.parametrize("error", [SupabaseUnavailable("no response"), SchemaOutdated("no table")])
async def test_an_outage_of_supabase_uses_no_attempt(error: BaseException) -> None:
    outcome = await outcome_of(error)
    assert isinstance(outcome, Snoozed)
    assert outcome.reason == str(error)
    assert timedelta(seconds=2) < outcome.delay <= timedelta(seconds=5)


@pytest.mark.parametrize(
    ("abort", "outcome"),
    [
        (Abort.CANCEL_REQUESTED, Cancelled()),
        (Abort.SHUTDOWN, Released()),
        (Abort.TIMEOUT, Failed(error="not done within 90 s", retry_in=2 * SOON)),
        (Abort.LEASE_LOST, None),
    ],
)
async def test_a_cancelled_handler_ends_with_the_given_reason(abort: Abort, outcome: Outcome | None) -> None:
    assert await outcome_of(asyncio.CancelledError(), abort=abort) == outcome
    early = job()
    early.cancel(abort)
    early.cancel(Abort.LEASE_LOST if abort is not Abort.LEASE_LOST else Abort.SHUTDOWN)

    async def never(_job: Job) -> dict[str, Any]:
        raise AssertionError("it was cancelled before it began")

    assert await perform(early, Handler(never, timedelta(seconds=90), later), Random(1)) == outcome


async def test_a_handler_returns_a_result_or_an_outcome() -> None:
    async def result(_job: Job) -> dict[str, Any]:
        return {"items": 3}

    async def end(_job: Job) -> Completed:
        return Completed({"items": 3}, {"papers": []})

    for work, outcome in ((result, Completed({"items": 3})), (end, Completed({"items": 3}, {"papers": []}))):
        assert await perform(job(), Handler(work, timedelta(seconds=90)), Random(1)) == outcome


async def test_only_unexpected_errors_are_logged() -> None:
    unexpected = LookupError("odd")
    with capture_logs() as log:
        for error in (PermanentError("never"), SourceError("down"), TimeoutError("slow"), unexpected):
            await outcome_of(error)
    about = {"task_id": str(TASK), "kind": TaskKind.FETCH, "exc_info": unexpected}
    assert log == [{"event": "task failed unexpectedly", "log_level": "error", **about}]


@pytest.mark.parametrize(("payload", "request_id"), [({"request_id": "r-1"}, "r-1"), ({}, None)])
def test_log_lines_name_the_task_and_the_request_that_made_it(payload: dict[str, Any], request_id: str | None) -> None:
    assert job(**payload).log_fields() == {"task_id": str(TASK), "request_id": request_id}


async def test_progress_is_reported_under_the_tasks_lease() -> None:
    shown: list[Any] = []
    await job(shown).report("half", 0.5)
    assert shown == [(Lease(TASK, UUID(int=1)), Progress("half", 0.5))]


async def test_only_a_started_handler_is_cancelled() -> None:
    for begun in (False, True):
        ended_job = job()
        ended_job.running = running = asyncio.create_task(asyncio.sleep(0))
        ended_job.begun = begun
        ended_job.cancel(Abort.SHUTDOWN)
        await asyncio.wait({running})
        assert running.cancelled() is begun
