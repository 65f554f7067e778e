"""The health report: the conditions that hold now, most serious first."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import AwareDatetime, Field

from app.conditions.catalog import CONDITIONS
from app.conditions.condition import HealthProblem, Observation, Severity
from app.errors import SupabaseError, SupabaseUnavailable
from app.models.values import Frozen
from app.persistence.health import HealthFacts

READ_TIMEOUT: Final = 4.0
"""Seconds for reading the facts; then the database counts as unreachable."""

MAX_PROBLEMS: Final = 20
"""The most problems of one condition in a report."""

ALL_WELL: Final = "No problem found."


class HealthReport(Frozen):
    """What is wrong, most serious first. `at` is the process's time of the report."""

    status: Literal["ok"] | Severity = Field(description="`ok`, or the severity of the most serious problem.")
    at: AwareDatetime
    summary: str = Field(description="One line that names the most serious problem.", examples=[ALL_WELL])
    problems: tuple[HealthProblem, ...] = Field(description="Most serious first; empty if the status is `ok`.")


async def observe(read: Callable[[], Awaitable[HealthFacts]], *, within: float = READ_TIMEOUT) -> Observation:
    """Read the facts. An error of the database is part of the observation."""
    try:
        async with asyncio.timeout(within):
            facts: HealthFacts | SupabaseError = await read()
    except SupabaseError as error:
        facts = error
    except TimeoutError:
        facts = SupabaseUnavailable(f"Supabase did not respond within {within:g} s.")
    return Observation(facts, datetime.now(UTC))


def report_of(observation: Observation) -> HealthReport:
    """Return the report of an observation."""
    problems = tuple(
        HealthProblem(
            condition=condition.name,
            severity=condition.severity,
            text=found.text,
            action=condition.action,
            since=found.since,
        )
        for condition in CONDITIONS
        for found in list(condition.find(observation))[:MAX_PROBLEMS]
    )
    status: Literal["ok"] | Severity = problems[0].severity if problems else "ok"
    return HealthReport(status=status, at=observation.observed_at, summary=_summary(problems), problems=problems)


def _summary(problems: tuple[HealthProblem, ...]) -> str:
    if not problems:
        return ALL_WELL
    others = len(problems) - 1
    more = f" And {others} more {'problem' if others == 1 else 'problems'}." if others else ""
    return f"{problems[0].text.rstrip('.')}.{more}"
