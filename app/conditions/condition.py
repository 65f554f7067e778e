"""What a condition is, and what it is judged by."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime, Field

from app.errors import SupabaseError
from app.models.values import Frozen
from app.persistence.health import HealthFacts


class Severity(StrEnum):
    """How serious a condition is, most serious first."""

    CRITICAL = "critical"
    """Readers or callers do not get what they expect, now."""

    WARNING = "warning"
    """A part of the service does not work, or will not work soon."""

    NOTICE = "notice"
    """On purpose, or without effect on readers and callers."""


@dataclass(frozen=True)
class Found:
    """One case of a condition: what is wrong, and since when, if known."""

    text: str
    since: datetime | None = None


@dataclass(frozen=True)
class Observation:
    """The service as a process sees it: the facts, or the error that hides them, at a time of this process's clock."""

    facts: HealthFacts | SupabaseError
    observed_at: datetime


@dataclass(frozen=True)
class Condition:
    """A condition: its name in JSON and metrics, its meaning, what to do, and how its cases are found.

    `lasts` is the time for which Prometheus must see it before it alerts.
    """

    name: str
    severity: Severity
    meaning: str
    action: str
    lasts: str
    find: Callable[[Observation], Iterable[Found]]

    @property
    def alert(self) -> str:
        """The name of the alert: `no_worker` is NoWorker."""
        return "".join(part.capitalize() for part in self.name.split("_"))


class HealthProblem(Frozen):
    """A condition that holds: what is wrong and what to do."""

    condition: str = Field(examples=["no_worker"])
    severity: Severity
    text: str = Field(description="What is wrong.")
    action: str = Field(description="What to do.")
    since: AwareDatetime | None = Field(description="Since when, if known.")
