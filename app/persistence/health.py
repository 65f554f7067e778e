"""Facts about the service for the health line: the result of `operator_health()` as frozen values.

A kind of task is a text here, so that kinds of an older or newer version of the code are accepted too.
"""

from pydantic import AwareDatetime, Field

from app.models.values import Frozen
from app.persistence.errors import VOID
from app.persistence.repository import Repository


class WorkerHealth(Frozen):
    """A worker's last heartbeat. It is alive while the heartbeat is younger than its lease."""

    host: str
    last_seen_seconds: float
    lease_seconds: float
    not_configured: dict[str, str] = Field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether the worker's lease is valid."""
        return self.last_seen_seconds <= self.lease_seconds


class KindHealth(Frozen):
    """A kind of task: how long its oldest ready task has waited (None: none is ready), and why it is paused."""

    kind: str
    oldest_seconds: float | None
    paused: str | None


class SourceHealth(Frozen):
    """A source of the workers' settings. `failing_since` is None if its last read succeeded."""

    name: str
    failing_since: AwareDatetime | None
    error: str | None


class DeliveryHealth(Frozen):
    """The deliveries: why they are paused, how many are in doubt, and the ended attempts of the last 15 minutes."""

    paused: str | None
    in_doubt: int
    completed: int
    failed: int
    error: str | None = Field(description="An error of the deliveries that wait.")


class FallbackHealth(Frozen):
    """Items of the last hour that have an excerpt instead of the model's summary, for one reason."""

    reason: str
    items: int


class ModelHealth(Frozen):
    """The language model's calls of the last 15 minutes. `blocked` is the reason of an open circuit breaker."""

    calls: int
    failures: int
    blocked: str | None
    fallbacks: tuple[FallbackHealth, ...] = ()


class SkippedDeliveries(Frozen):
    """Readers whose digest was skipped today, for one reason."""

    reason: str
    readers: int


class DeliveryRate(Frozen):
    """The digests of the readers who were due since midnight of their own day, at least an hour ago."""

    due: int
    sent: int = Field(description="Sent within an hour.")
    late: int = Field(description="Sent later than an hour after it was due.")
    missing: int = Field(description="Not sent an hour after it was due.")
    pending: int = Field(description="Due less than an hour ago, and not sent; not part of `due`.")
    delivered: int = Field(description="Sent, late, or skipped because of the reader or because nothing was new.")
    skipped: tuple[SkippedDeliveries, ...]
    sample: int = Field(1, description="Above 20,000 readers, the numbers are estimated from one of so many readers.")


class HealthFacts(Frozen):
    """What the conditions are judged by, at the moment `at` of the database's clock."""

    at: AwareDatetime
    schema_version: int
    kinds: tuple[KindHealth, ...]
    workers: tuple[WorkerHealth, ...]
    sources: tuple[SourceHealth, ...]
    deliveries: DeliveryHealth
    model: ModelHealth
    delivery_rate: DeliveryRate | None = Field(None, description="Null: not computed in the last 10 minutes.")
    overdue_readers: int = Field(description="Readers whose digest is 10 minutes late and has no task; 1,000 at most.")
    refused_libraries: int = Field(0, description="Connected libraries whose key is refused; 1,000 at most.")
    unfinished_erasures: int = Field(
        0, description="Readers whose data is not deleted an hour after they deleted it; 1,000 at most."
    )


class Health(Repository):
    """Reads the facts."""

    async def facts(self) -> HealthFacts:
        """Read the facts with one call. Raises `SupabaseError`."""
        return await self._call("operator_health", "read the health of the service", HealthFacts)

    async def refresh_delivery_rate(self) -> None:
        """Compute the daily delivery rate, unless another process did so in this minute. Raises `SupabaseError`."""
        await self._call("refresh_delivery_rate", "compute the delivery rate", VOID)
