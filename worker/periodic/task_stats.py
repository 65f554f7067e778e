"""Counts the tasks that this worker ends, and reports the counts once a minute, for the operators' page."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import Random
from uuid import UUID

import structlog
from pydantic import ValidationError

from app.errors import SupabaseError, SupabaseRejected
from app.models.digests import ModelUsage
from app.models.tasks import TaskKind
from app.models.values import Frozen
from app.persistence.outcomes import Completed, Failed, Outcome
from app.persistence.queue import ClaimedTask
from app.persistence.task_stats import TaskCounts, TaskStats

log = structlog.get_logger(__name__)

MINUTE = 60.0
EARLIEST, LATEST = 10.0, 50.0
"""The seconds of a minute between which a worker reports. They are far from its ends, so that no minute is skipped."""

LAST_REPORT = 1.0
"""Seconds for the last report when the worker stops."""

SAMPLE = 100
"""The most tasks of a kind in a report whose waits the database looks up."""

MAX_TOKENS = 10**9
"""The most tokens counted for one digest: the model server's numbers are not verified."""


class _DigestUsage(Frozen):
    usage: ModelUsage = ModelUsage()


class Tally:
    """Counts this worker's ended tasks by kind since the last `take`."""

    def __init__(self, kinds: Sequence[TaskKind], random: Random) -> None:
        self._kinds = tuple(kinds)
        self._random = random
        self._clear()

    def count(self, task: ClaimedTask, outcome: Outcome) -> None:
        """Count an ended attempt. Snoozed, released and cancelled ones do not count."""
        counts = self._counts[task.kind]
        if isinstance(outcome, Completed):
            counts.completed += 1
            _add_usage(counts, model_usage(outcome))
        elif not isinstance(outcome, Failed):
            return
        elif outcome.retry_in is not None and task.attempt < task.max_attempts:
            counts.retried += 1
            return
        else:
            counts.failed += 1
        self._add_to_sample(task, counts.completed + counts.failed)

    def take(self) -> Mapping[TaskKind, TaskCounts]:
        """Return the counts of all kinds, and reset them."""
        taken = self._counts
        for kind, counts in taken.items():
            counts.sample = tuple(self._samples[kind])
        self._clear()
        return taken

    def _clear(self) -> None:
        self._counts = {kind: TaskCounts() for kind in self._kinds}
        self._samples: dict[TaskKind, list[UUID]] = {kind: [] for kind in self._kinds}

    def _add_to_sample(self, task: ClaimedTask, number: int) -> None:
        """Keep each task with the same probability (reservoir sampling, Vitter's algorithm R)."""
        sample = self._samples[task.kind]
        if number <= SAMPLE:
            sample.append(task.task_id)
        elif (index := int(self._random.random() * number)) < SAMPLE:
            sample[index] = task.task_id


class TaskStatsReporter:
    """Reports the tally once a minute. A report that may have been lost is repeated before the next one."""

    def __init__(self, task_stats: TaskStats, worker_id: UUID, tally: Tally, *, random: Random) -> None:
        self._task_stats = task_stats
        self._worker_id = worker_id
        self._tally = tally
        self._random = random
        self._second = random.uniform(EARLIEST, LATEST)
        self._number = 0
        self._unsent: Mapping[TaskKind, TaskCounts] | None = None

    async def run(self) -> None:
        """Run until cancelled, then report once more. The first wait is a random part of a minute."""
        wait = MINUTE * self._random.random()
        try:
            while True:
                await asyncio.sleep(wait)
                wait = await self.run_once()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_REPORT):
                    await self._report_rest()

    async def _report_rest(self) -> None:
        """Send the interrupted report, if any, and then the counts since."""
        interrupted = self._unsent is not None
        await self.run_once()
        if interrupted and self._unsent is None:
            await self.run_once()

    async def run_once(self) -> float:
        """Report once. Return the seconds until the next report: at this worker's second of the next minute."""
        if self._unsent is None:
            self._number, self._unsent = self._number + 1, self._tally.take()
        try:
            passed = await self._task_stats.report(self._worker_id, self._number, self._unsent)
        except SupabaseRejected as error:
            log.error("task statistics rejected and lost", number=self._number, error=str(error))
            passed = self._second
        except SupabaseError as error:
            log.warning("task statistics not reported yet", number=self._number, error=str(error))
            return MINUTE / 2
        self._unsent = None
        return MINUTE - passed + self._second


def model_usage(outcome: Outcome) -> ModelUsage:
    """Return the language model's usage for a completed digest; zeros for anything else."""
    if not isinstance(outcome, Completed) or outcome.digest is None:
        return ModelUsage()
    try:
        return _DigestUsage.model_validate(outcome.digest).usage
    except ValidationError:
        return ModelUsage()


def _add_usage(counts: TaskCounts, usage: ModelUsage) -> None:
    counts.model_calls += usage.calls
    counts.model_failures += usage.failures
    counts.input_tokens += min(usage.input_tokens, MAX_TOKENS)
    counts.output_tokens += min(usage.output_tokens, MAX_TOKENS)
    for reason, count in usage.fallbacks.items():
        counts.model_fallbacks[reason.value] = counts.model_fallbacks.get(reason.value, 0) + min(count, MAX_TOKENS)
