"""A fetch's progress reports, log lines and database calls."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
import respx
from structlog.testing import capture_logs
from supabase import AsyncClient

from app.errors import SourceBusy, SourceError, SourceUnavailable
from app.fetch_service import RETRY_UNREACHABLE, FetchPostponed, FetchService
from app.models.articles import Article, ArticleKind, Edition
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.editions import Editions
from app.sources.fetcher import FetchFailed
from tests.support.requests import DAY, ONE

GOOD = Article(source="good", external_id="1", kind=ArticleKind.NEWS, title="Good news")
MOMENT = datetime(2026, 1, 3, 7, 12, tzinfo=UTC)
AT = MOMENT.isoformat()
WHOLE = {"complete_from": AT}
EDITION = {"source_date": str(DAY), "status": "completed", "counts": {}, "errors": {}, "created_at": AT,
           "updated_at": AT}  # fmt: skip


class Scripted:
    """A source that returns or raises what the test sets."""

    def __init__(self, name: str, outcome: list[Article] | Exception, *, essential: bool = True) -> None:
        self.name = name
        self.essential = essential
        self._outcome = outcome

    def complete_from(self, source_date: date) -> datetime:
        assert source_date == DAY
        return MOMENT

    async def fetch(self, source_date: date) -> list[Article]:
        assert source_date == DAY
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


@pytest.fixture
def database_calls(router: respx.Router) -> list[tuple[str, Any]]:
    """Records every call of a database in which all calls succeed."""
    calls: list[tuple[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        function = request.url.path.rpartition("/")[2]
        calls.append((function, json.loads(request.content)))
        results: dict[str, Any] = {
            "plan_fetch": {"at": AT, "kept": {}},
            "begin_edition": EDITION,
            "finish_edition": EDITION,
            "breaker_states": [],
        }
        return httpx.Response(200, json=results[function]) if function in results else httpx.Response(204)

    router.route().mock(side_effect=answer)
    return calls


class Fetch:
    """One fetch with its progress reports and log lines."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.reported: list[tuple[str, float]] = []
        self.logs: list[Any] = []

    async def of(self, *sources: Scripted, patience: timedelta = timedelta(0)) -> Edition:
        service = FetchService(Editions(self._client), CircuitBreakers(self._client), sources, now=lambda: MOMENT)
        with capture_logs() as self.logs:
            return await service.fetch(DAY, ONE, self._report, patience)

    async def _report(self, message: str, progress: float) -> None:
        self.reported.append((message, round(progress, 6)))


@pytest.fixture
def fetch(client: AsyncClient) -> Fetch:
    return Fetch(client)


def bodies_of(database_calls: list[tuple[str, Any]], function: str) -> list[Any]:
    return [body for name, body in database_calls if name == function]


async def test_a_fetch_reports_its_progress(fetch: Fetch, database_calls: list[tuple[str, Any]]) -> None:
    await fetch.of(Scripted("good", [GOOD]), Scripted("empty", []))
    assert fetch.reported == [
        ("fetching 2026-01-02 from 2 sources", 0.05), ("1 of 2 sources read", 0.5), ("2 of 2 sources read", 0.95),
    ]  # fmt: skip
    day = {"p_source_date": "2026-01-02"}
    assert bodies_of(database_calls, "begin_edition") == [day]
    readings = [{"name": "good", **WHOLE, "items": 1}, {"name": "empty", **WHOLE, "items": 0}]
    assert bodies_of(database_calls, "record_readings") == [
        day | {"p_task_id": str(ONE), "p_at": AT, "p_sources": readings}
    ]
    ended = {"p_status": "completed", "p_errors": {}, "p_sources": ["good", "empty"]}
    assert bodies_of(database_calls, "finish_edition") == [day | ended]
    about = {"event": "source read", "log_level": "info", "source_date": "2026-01-02"}
    logs = sorted(fetch.logs, key=lambda each: each["source"])
    assert logs == [about | {"source": "empty", "articles": 0}, about | {"source": "good", "articles": 1}]


async def test_a_failed_source_is_in_the_edition_and_in_the_log(
    fetch: Fetch, database_calls: list[tuple[str, Any]]
) -> None:
    await fetch.of(Scripted("good", [GOOD]), Scripted("bad", SourceError("x" * 600)))
    day, reason = {"p_source_date": "2026-01-02"}, "x" * 499 + "…"
    cause = f"{reason} at 07:12 UTC"
    readings = [{"name": "good", **WHOLE, "items": 1}, {"name": "bad", **WHOLE, "error": cause}]
    assert bodies_of(database_calls, "record_readings") == [
        day | {"p_task_id": str(ONE), "p_at": AT, "p_sources": readings}
    ]
    ended = {"p_status": "partial", "p_errors": {"bad": cause}, "p_sources": ["good", "bad"]}
    assert bodies_of(database_calls, "finish_edition") == [day | ended]
    about = {"log_level": "warning", "source": "bad", "source_date": "2026-01-02", "error": reason}
    assert {"event": "source failed", **about} in fetch.logs
    assert [body["p_name"] for body in bodies_of(database_calls, "breaker_failure")] == ["bad"]


async def test_an_unexpected_error_of_a_source_is_logged_with_place(
    fetch: Fetch, database_calls: list[tuple[str, Any]]
) -> None:
    with pytest.raises(SourceError) as failed:
        await fetch.of(Scripted("odd", KeyError("a\0b")))
    assert str(failed.value) == "no source could be read: odd: KeyError: 'a\\x00b' at 07:12 UTC"
    (unexpected,) = [each for each in fetch.logs if each["event"] == "source failed unexpectedly"]
    assert (unexpected["log_level"], unexpected["source"]) == ("error", "odd")
    assert unexpected["reason"] == "KeyError: 'a\\x00b'"
    assert "raise self._outcome" in unexpected["where"]
    assert bodies_of(database_calls, "finish_edition")[0]["p_status"] == "failed"


async def test_a_deep_failure_is_logged_with_three_frames(fetch: Fetch, database_calls: list[tuple[str, Any]]) -> None:
    class Deep(Scripted):
        async def fetch(self, source_date: date) -> list[Article]:
            return await self._deeper(source_date, 5)

        async def _deeper(self, source_date: date, levels: int) -> list[Article]:
            return await (self._deeper(source_date, levels - 1) if levels else super().fetch(source_date))

    await fetch.of(Scripted("good", [GOOD]), Deep("odd", KeyError("a")))
    (unexpected,) = [each for each in fetch.logs if each["event"] == "source failed unexpectedly"]
    assert unexpected["where"].count("  File ") == 3
    assert unexpected["where"].rstrip().endswith("raise self._outcome")
    assert database_calls


async def test_busy_sources_are_named_with_the_longest_wait(
    fetch: Fetch, database_calls: list[tuple[str, Any]]
) -> None:
    busy = [Scripted(name, SourceBusy("429", retry_after=wait)) for name, wait in (("a", 60.0), ("b", 90.0))]
    with pytest.raises(FetchPostponed) as postponed:
        await fetch.of(*busy, Scripted("good", [GOOD]), patience=timedelta(seconds=90))
    errors = {name: f"429 at 07:12 UTC, will be retried in {wait} s" for name, wait in (("a", 60), ("b", 90))}
    reason = "; ".join(f"{name}: {error}" for name, error in errors.items())
    assert (str(postponed.value), postponed.value.delay) == (reason, timedelta(seconds=90))
    assert bodies_of(database_calls, "save_articles") != []
    (ended,) = bodies_of(database_calls, "finish_edition")
    assert (ended["p_status"], ended["p_errors"]) == ("fetching", errors)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (SourceBusy("429", retry_after=70.0), 70.0),
        (SourceUnavailable("503", retry_after=70.0), 70.0),
        (FetchFailed("HTTP 503", transient=True, retry_after=70.0), 70.0),
        (SourceUnavailable("503", retry_after=0.0), 0.0),
        (SourceUnavailable("refused"), RETRY_UNREACHABLE),
        (FetchFailed("refused", transient=True), RETRY_UNREACHABLE),
    ],
    ids=repr,
)
async def test_a_fetch_waits_for_as_long_as_its_source_asks(
    fetch: Fetch, database_calls: list[tuple[str, Any]], error: Exception, seconds: float
) -> None:
    with pytest.raises(FetchPostponed) as postponed:
        await fetch.of(Scripted("away", error), Scripted("good", [GOOD]), patience=timedelta(minutes=5))
    assert postponed.value.delay == timedelta(seconds=seconds)
    assert str(postponed.value).endswith(f"will be retried in {seconds:.0f} s")
    assert database_calls
