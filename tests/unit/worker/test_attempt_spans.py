"""Each attempt has a span with its outcome; only a failure is an error."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from app.errors import LeaseLost, PermanentError
from app.models.tasks import TaskKind
from app.persistence.outcomes import Lease
from app.persistence.queue import ClaimedTask
from tests.support.spans import Seen, recorded_spans
from worker.attempt_spans import choose_perform, perform_traced
from worker.job import Abort, Handler, Job, Snooze, perform

TASK = UUID(int=2)
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


async def span_of(result: dict[str, Any] | BaseException, abort: Abort | None = None) -> Seen:
    async def work(job: Job) -> dict[str, Any]:
        job.abort = abort
        if isinstance(result, BaseException):
            raise result
        return result

    task = ClaimedTask(Lease(TASK, UUID(int=1)), TaskKind.FETCH, 2, 5, timedelta(0), None, {}, TRACE)
    with recorded_spans() as recorded:
        await choose_perform()(Job(task, 0.0, lambda *_: None), Handler(work, timedelta(seconds=9)), Random(1))
    return recorded.one("process fetch")


@pytest.mark.parametrize(
    ("result", "outcome", "error"),
    [
        ({}, "completed", None),
        (Snooze(timedelta(0), "wait"), "snoozed", None),
        (LeaseLost("gone"), "lease_lost", None),
        (PermanentError("ada@example.org"), "failed", "PermanentError"),
        (KeyError("ada@example.org"), "failed", "KeyError"),
    ],
    ids=str,
)
async def test_an_attempt_has_its_outcome(result: Any, outcome: str, error: str | None) -> None:
    span = await span_of(result)
    assert span.attributes["broadsheet.task.outcome"] == outcome
    assert (span.error, span.attributes.get("error.type")) == (error is not None, error)
    assert (span.trace_id, span.attributes["broadsheet.task.attempt"]) == ("a" * 32, 2)
    assert "example.org" not in str(span)


async def test_an_attempt_over_its_limit_is_a_timeout() -> None:
    span = await span_of(asyncio.CancelledError(), Abort.TIMEOUT)
    assert span.attributes["error.type"] == "timeout"


def test_without_traces_jobs_are_performed_as_before() -> None:
    assert choose_perform() is perform
    with recorded_spans():
        assert choose_perform() is perform_traced
