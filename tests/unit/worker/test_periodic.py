"""When periodic jobs run: first after a random part of the interval, then at each interval, also after errors."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from app.errors import SupabaseUnavailable
from app.models.tasks import TaskKind
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.maintenance import Maintenance, PrunedRecords, PrunedSignUps, Removed
from app.persistence.own_data import OwnData
from app.persistence.rate_limits import DistributedRateLimiter
from app.persistence.reader_papers import ReaderPapers
from app.persistence.schedule import Schedule
from app.persistence.task_stats import TaskStats
from app.sources.arxiv import ArxivSource
from worker.periodic.erasures import Erasures
from worker.periodic.paper_look_ups import PaperLookUps
from worker.periodic.retention import Retention
from worker.periodic.schedule import DueReaderEnqueuer
from worker.periodic.task_stats import Tally, TaskStatsReporter

WORKER = UUID(int=7)
REMOVED = Removed(1, 2, 3, 4, 5, 6, 7, 8)
PRUNED = PrunedRecords(1, 2, 3)
PRUNED_SIGN_UPS = PrunedSignUps(1, 2, 3)


class Quarter(Random):
    """A random generator that returns a quarter."""

    def random(self) -> float:
        return 0.25


class UnreachableSupabase:
    """An unreachable Supabase."""

    async def away(self, *_arguments: Any, **_named: Any) -> Any:
        raise SupabaseUnavailable("away")

    retain = retain_digests = prune_records = prune_sign_ups = enqueue_due = to_erase = to_look_up = report = away


class ScriptedSupabase:
    """Supabase with a given response; `calls` has its calls."""

    batch = 500

    def __init__(self, due: int = 3) -> None:
        self.calls: list[Any] = []
        self._due = due

    async def retain(self, **days: int) -> Removed:
        self.calls.append(days)
        return REMOVED

    async def retain_digests(self, **days: int) -> int:
        self.calls.append(days)
        return 9

    async def prune_records(self, **days: int) -> PrunedRecords:
        self.calls.append(days)
        return PRUNED

    async def prune_sign_ups(self) -> PrunedSignUps:
        self.calls.append("sign-ups")
        return PRUNED_SIGN_UPS

    async def enqueue_due(self) -> int:
        return self._due

    async def report(self, *report: Any) -> float:
        self.calls.append(report[:2])
        return 12.0


def retention(supabase: Any) -> Coroutine[None, None, None]:
    maintenance = cast(Maintenance, supabase)
    days = {"task_days": 5, "edition_days": 2, "digest_days": 3, "delivery_days": 4}
    return Retention(maintenance, **days, random=Quarter()).run()


def schedule(supabase: Any) -> Coroutine[None, None, None]:
    return DueReaderEnqueuer(cast(Schedule, supabase), random=Quarter()).run()


def erasures(supabase: Any) -> Coroutine[None, None, None]:
    return Erasures(cast(OwnData, supabase), random=Quarter()).run()


def look_ups(supabase: Any) -> Coroutine[None, None, None]:
    papers, turns, breakers = (
        cast(ReaderPapers, supabase),
        cast(DistributedRateLimiter, None),
        cast(CircuitBreakers, None),
    )
    return PaperLookUps(papers, turns, breakers, cast(ArxivSource, None), random=Quarter()).run()


def minutes(supabase: Any) -> Coroutine[None, None, None]:
    tally = Tally([TaskKind.FETCH], Quarter())
    return TaskStatsReporter(cast(TaskStats, supabase), WORKER, tally, random=Quarter()).run()


async def pauses(
    periodic_job: Coroutine[None, None, None], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[float], list[Any]]:
    """Run a periodic job twice; returns its pauses and its log lines."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with capture_logs() as log, pytest.raises(asyncio.CancelledError):
        await periodic_job
    return slept, [{**record} for record in log]


@pytest.mark.parametrize(
    ("make", "event", "slept"),
    [
        (retention, "retention postponed", [900, 3600, 3600]),
        (schedule, "schedule postponed", [15, 60, 60]),
        # A deletion that an outage interrupted ends soon after a worker starts.
        (erasures, "erasures postponed", [1.25, 30, 30]),
        (look_ups, "look-up of papers postponed", [7.5, 30, 30]),
    ],
)
async def test_a_failed_periodic_job_logs_the_reason_and_runs_again(
    make: Any, event: str, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = {"event": event, "log_level": "warning", "error": "away"}
    assert await pauses(make(UnreachableSupabase()), monkeypatch) == (slept, [logged, logged])


async def test_an_unreported_minute_is_retried_and_sent_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged = {"event": "task statistics not reported yet", "log_level": "warning", "number": 1, "error": "away"}
    assert await pauses(minutes(UnreachableSupabase()), monkeypatch) == ([15, 30, 30], [logged] * 3)


async def test_a_worker_reports_every_minute_and_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    supabase = ScriptedSupabase()
    # A quarter of the time from the 10th to the 50th second, of which 12 have passed.
    assert await pauses(minutes(supabase), monkeypatch) == ([15, 68, 68], [])
    assert supabase.calls == [(WORKER, number) for number in (1, 2, 3)]


async def test_retention_logs_what_it_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    supabase = ScriptedSupabase()
    slept, logged = await pauses(retention(supabase), monkeypatch)
    assert slept == [900, 3600, 3600]
    # Deliveries are kept at least as long as tasks.
    records = {"delivery_days": 5, "audit_days": 365}
    assert supabase.calls[:3] == [{"task_days": 5, "edition_days": 2}, {"digest_days": 3}, records]
    about = {"event": "retention", "log_level": "info"}
    removed = {"removed": REMOVED, "digests": 9, "records": PRUNED, "sign_ups": PRUNED_SIGN_UPS}
    assert logged[:4] == [{**about, name: value} for name, value in removed.items()]


@pytest.mark.parametrize(("due", "logged"), [(3, [{"event": "schedule", "log_level": "info", "due": 3}] * 2), (0, [])])
async def test_the_schedule_logs_how_many_readers_were_due(
    due: int, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await pauses(schedule(ScriptedSupabase(due)), monkeypatch) == ([15, 60, 60], logged)
