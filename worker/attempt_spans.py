"""Writes a span for each attempt of a task, in the trace of what caused the task."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

from app.persistence.outcomes import Completed, Failed, Outcome
from app.tracing.current import SpanScope, active_spans
from worker.job import Abort, Handler, Job, perform

Perform = Callable[[Job, Handler, Random], Awaitable[Outcome | None]]

OUTCOME: Final = "broadsheet.task.outcome"
LEASE_LOST: Final = "lease_lost"


def choose_perform() -> Perform:
    """Return what performs jobs: with spans, or without traces `perform` itself."""
    return perform if active_spans() is None else perform_traced


async def perform_traced(job: Job, handler: Handler, random: Random) -> Outcome | None:
    """Do as `perform`, in a span. A snooze and a cancellation are no errors."""
    spans = active_spans()
    if spans is None:
        return await perform(job, handler, random)
    task = job.task
    with spans.process(task.kind.value, task.task_id, task.attempt, task.trace) as span:
        raised = _Raised(handler)
        outcome = await perform(job, Handler(raised.work, handler.timeout, handler.retry_delay), random)
        _describe(span, outcome, "timeout" if job.abort is Abort.TIMEOUT else raised.error_type)
    return outcome


def _describe(span: SpanScope, outcome: Outcome | None, error_type: str | None) -> None:
    span.set({OUTCOME: LEASE_LOST if outcome is None else type(outcome).__name__.lower()})
    if isinstance(outcome, Failed):
        span.fail(error_type or "_OTHER")


class _Raised:
    """A handler's work, and the type of the error that it raised."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.error_type: str | None = None

    async def work(self, job: Job) -> dict[str, Any] | Completed:
        try:
            return await self._handler.work(job)
        except BaseException as error:
            self.error_type = type(error).__qualname__
            raise
