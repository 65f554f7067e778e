"""Counts what this worker ends, and reports it once a minute, for the operator's page."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import Random
from uuid import UUID

import structlog
from pydantic import ValidationError

from app.errors import SupabaseError, SupabaseRejected
from app.models import Frozen, ModelUsage, TaskKind
from app.persistence.outcomes import Completed, Failed, Outcome
from app.persistence.queue import ClaimedTask
from app.persistence.task_stats import Ended, TaskStats

log = structlog.get_logger(__name__)

MINUTE = 60.0
EARLIEST, LATEST = 10.0, 50.0
"""Between which seconds of the minute a worker reports: far from its ends, so that no minute goes without a report."""

LAST_REPORT = 1.0
"""Seconds for what was counted since, when the worker stops."""

SAMPLE = 100
"""Of how many tasks of a kind a report has the waits looked up."""

MOST_TOKENS = 10**9
"""Of one digest that are believed: what a server says of itself is not checked by anybody."""


class _Written(Frozen):
    usage: ModelUsage = ModelUsage()


class Tally:
    """What this worker has ended since it was last asked, by kind."""

    def __init__(self, kinds: Sequence[TaskKind], random: Random) -> None:
        self._kinds = tuple(kinds)
        self._random = random
        self._clear()

    def count(self, task: ClaimedTask, outcome: Outcome) -> None:
        """Count the end of an attempt; what was only put off, given back or cancelled is none."""
        ended = self._ended[task.kind]
        if isinstance(outcome, Completed):
            ended.completed += 1
            if outcome.digest is not None:
                _add_usage(ended, outcome.digest)
        elif not isinstance(outcome, Failed):
            return
        elif outcome.retry_in is not None and task.attempt < task.max_attempts:
            ended.retried += 1
            return
        else:
            ended.failed += 1
        self._draw(task, ended.completed + ended.failed)

    def take(self) -> Mapping[TaskKind, Ended]:
        """Return what was counted, each kind with it, and begin anew."""
        taken = self._ended
        for kind, ended in taken.items():
            ended.sample = tuple(self._drawn[kind])
        self._clear()
        return taken

    def _clear(self) -> None:
        self._ended = {kind: Ended() for kind in self._kinds}
        self._drawn: dict[TaskKind, list[UUID]] = {kind: [] for kind in self._kinds}

    def _draw(self, task: ClaimedTask, number: int) -> None:
        """Keep each task with the same probability, however many come (Vitter's algorithm R)."""
        drawn = self._drawn[task.kind]
        if number <= SAMPLE:
            drawn.append(task.task_id)
        elif (place := int(self._random.random() * number)) < SAMPLE:
            drawn[place] = task.task_id


class TaskStatsReporter:
    """Reports the tally once a minute. A report that may not have come is sent again, the same, before the next one."""

    def __init__(self, minutes: TaskStats, worker_id: UUID, tally: Tally, *, random: Random) -> None:
        self._minutes = minutes
        self._worker_id = worker_id
        self._tally = tally
        self._random = random
        self._second = random.uniform(EARLIEST, LATEST)
        self._number = 0
        self._open: Mapping[TaskKind, Ended] | None = None

    async def run(self) -> None:
        """Go on until cancelled, and then report once more; the first time after a random part of a minute."""
        wait = MINUTE * self._random.random()
        try:
            while True:
                await asyncio.sleep(wait)
                wait = await self.run_once()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_REPORT):
                    await self._report_the_rest()

    async def _report_the_rest(self) -> None:
        """The report that was interrupted, if one was, and then what was counted since."""
        interrupted = self._open is not None
        await self.run_once()
        if interrupted and self._open is None:
            await self.run_once()

    async def run_once(self) -> float:
        """Report; returns in how many seconds the next report is due: at this worker's second of the next minute."""
        if self._open is None:
            self._number, self._open = self._number + 1, self._tally.take()
        try:
            passed = await self._minutes.report(self._worker_id, self._number, self._open)
        except SupabaseRejected as error:
            log.error("minute refused, its figures are lost", number=self._number, error=str(error))
            passed = self._second
        except SupabaseError as error:
            log.warning("minute not reported yet", number=self._number, error=str(error))
            return MINUTE / 2
        self._open = None
        return MINUTE - passed + self._second


def _add_usage(ended: Ended, digest: Mapping[str, object]) -> None:
    try:
        usage = _Written.model_validate(digest.get("digest")).usage
    except ValidationError:
        return
    ended.model_calls += usage.calls
    ended.model_failures += usage.failures
    ended.input_tokens += min(usage.input_tokens, MOST_TOKENS)
    ended.output_tokens += min(usage.output_tokens, MOST_TOKENS)
