"""The operator's overview: the result of `operator_overview()` as frozen values.

A kind of task is a text here, so that kinds of an older or newer version of the code are shown too.
"""

from datetime import date
from uuid import UUID

from pydantic import AwareDatetime, Field

from app.models.values import Frozen
from app.persistence.deliveries import Delivery
from app.persistence.health import HealthFacts


class Pause(Frozen):
    """A period in which no worker claims tasks of a kind. `ended_at` is None while it is active."""

    kind: str
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    actor: str = Field(description="The admin who paused it.")
    reason: str


class KindStatus(Frozen):
    """A kind's tasks in the queue now."""

    kind: str
    ready: int = Field(description="Tasks that wait for a worker.")
    not_ready: int = Field(description="Tasks that are not ready: delayed, or waiting for another task to end.")
    running: int = Field(description="Tasks that workers run.")
    failed: int = Field(description="Permanently failed tasks, which can be replayed.")
    oldest_seconds: float | None = Field(description="How long the oldest ready task has waited; null: none is ready.")
    pause: Pause | None = Field(description="The active pause, if any.")


class StatPoint(Frozen):
    """Statistics of a kind's tasks in one step of a minute or more. Null waits: no task of the sample ended."""

    at: AwareDatetime = Field(description="When the step begins.")
    completed: int = Field(description="Tasks completed in the step.")
    failed: int = Field(description="Tasks that failed permanently in the step.")
    retried: int = Field(description="Failed attempts that will be retried.")
    wait_mean_seconds: float | None = Field(
        description="Mean time from a task's creation or replay to its start, over a sample of the tasks that ended."
    )
    wait_max_seconds: float | None = Field(description="The longest of these waits.")
    ready: int = Field(description="Tasks that waited for a worker, in the step's worst minute.")
    running: int = Field(description="Running tasks, in the step's busiest minute.")
    oldest_seconds: float = Field(description="How long the oldest ready task had waited, in the step's worst minute.")


class KindStats(Frozen):
    """A kind's steps, oldest first. A step is missing if no worker ran."""

    kind: str
    points: tuple[StatPoint, ...]


class StatSeries(Frozen):
    """Statistics of the last hours, in at most 120 steps of whole minutes, starting at `since`."""

    since: AwareDatetime
    step_seconds: int = Field(description="Length of a step; points count for the whole step, not per minute.")
    kinds: tuple[KindStats, ...]


class WorkerInfo(Frozen):
    """A worker at its last heartbeat. `running_tasks` is a count."""

    worker_id: UUID
    host: str | None
    version: str | None
    seen_at: AwareDatetime
    last_seen_seconds: float
    alive: bool = Field(description="Whether the last heartbeat is younger than the worker's lease.")
    running_tasks: int
    not_configured: dict[str, str] = Field(
        default_factory=dict,
        description="Settings that are missing on the worker, each with its consequence.",
        examples=[{"MAIL_URL": "this worker sends no mails"}],
    )


class BreakerStatus(Frozen):
    """A circuit breaker of a source or of the language model, shared by all processes."""

    name: str
    state: str = Field(description="closed, open or half_open", examples=["closed"])
    failures: int = Field(description="Counted failures since the last success.")
    retry_after: float | None = Field(description="Seconds until the next trial; null while it is closed.")
    reason: str | None = Field(None, description="The last failure.", examples=["HTTP 503 from export.arxiv.org"])
    failed_at: AwareDatetime | None = Field(None, description="Time of the last failure.")


class SourceDay(Frozen):
    """How many items a source had for a day's edition."""

    day: date
    items: int


class SourceStatus(Frozen):
    """The last reading of a source, and its items of the last seven days; days without items are omitted."""

    name: str
    succeeded_at: AwareDatetime | None = Field(description="When it was last read; null: never, as far as is recorded.")
    source_date: date | None = Field(description="The day for which it was last read.")
    items: int | None = Field(description="How many items it had then.")
    failed_at: AwareDatetime | None = Field(
        description="When it last failed. If later than `succeeded_at`, the source still fails."
    )
    error: str | None = Field(description="The error of the last failure.")
    days: tuple[SourceDay, ...] | None = Field(description="Items by the edition's day (UTC), oldest first.")


class FailedTask(Frozen):
    """A permanently failed task. It can be replayed."""

    task_id: UUID
    kind: str
    owner: str
    error: str | None
    attempt: int
    source_date: date | None
    reader_id: UUID | None
    created_at: AwareDatetime
    failed_at: AwareDatetime


class DeliveriesNow(Frozen):
    """The deliveries now."""

    paused: str | None = Field(description="The reason why deliveries are paused; null: they are not.")
    pending: int = Field(description="Mails that wait to be sent.")
    sending: int = Field(description="Mails that are being sent.")
    in_doubt: int = Field(description="Mails that may or may not have been sent.")
    latest_in_doubt: tuple[Delivery, ...] = Field(description="The latest 20 deliveries in doubt, newest first.")


class ReaderCount(Frozen):
    """The number of an owner's readers with a status."""

    owner: str
    status: str
    readers: int


class FallbackCount(Frozen):
    """The number of items with an excerpt instead of the model's summary, for one reason (`FallbackReason`)."""

    reason: str
    items: int


class ModelUsageToday(Frozen):
    """Calls of the language model since midnight (UTC), as reported up to a minute ago."""

    calls: int
    failures: int
    input_tokens: int
    output_tokens: int
    fallbacks: tuple[FallbackCount, ...] = Field(
        (), description="Items with an excerpt instead of the model's summary, by reason."
    )


class Overview(Frozen):
    """The state of the service at `at`, by the database's clock."""

    at: AwareDatetime
    health: HealthFacts = Field(description="The facts by which `/v1/admin/health` is judged.")
    kinds: tuple[KindStatus, ...]
    task_stats: StatSeries
    workers: tuple[WorkerInfo, ...]
    circuit_breakers: tuple[BreakerStatus, ...]
    sources: tuple[SourceStatus, ...]
    failed_tasks: tuple[FailedTask, ...] = Field(description="The latest 20 permanently failed tasks, newest first.")
    deliveries: DeliveriesNow
    readers: tuple[ReaderCount, ...] = Field(description="Counted up to a minute ago.")
    model_usage_today: ModelUsageToday
