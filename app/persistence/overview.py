"""What an operator sees at a glance: `operator_overview()` of the database as frozen values.

A kind of task is a text here: rows of a kind that this code no longer knows, or not yet, are shown like others.
"""

from datetime import date
from uuid import UUID

from pydantic import AwareDatetime, Field

from app.models import Frozen
from app.persistence.deliveries import Delivery


class Pause(Frozen):
    """A time in which a kind was, or is, not claimed."""

    kind: str
    since: AwareDatetime
    ended: AwareDatetime | None
    who: str
    reason: str


class KindStatus(Frozen):
    """A kind's tasks in the queue at this moment."""

    kind: str
    ready: int = Field(description="Tasks that wait for a worker.")
    later: int = Field(description="Tasks whose time has not come: delayed, or waiting for another one's end.")
    running: int = Field(description="Tasks that workers have in hand.")
    failed: int = Field(description="Tasks that failed for good, and are kept to be replayed.")
    oldest_seconds: float | None = Field(description="How long the oldest ready task has waited; null: none is ready.")
    pause: Pause | None = Field(description="The pause that holds, if one does.")


class StatPoint(Frozen):
    """What became of a kind's tasks in one step of time, a minute or more; null: of none the wait is known."""

    at: AwareDatetime = Field(description="Where the step begins.")
    completed: int = Field(description="Tasks that were done in the step.")
    failed: int = Field(description="Tasks that failed for good in the step.")
    retried: int = Field(description="Attempts that failed, with another one to come.")
    wait_mean_seconds: float | None = Field(
        description="Mean, of a sample of what ended, from when a task was ordered, or replayed, until it was begun."
    )
    wait_max_seconds: float | None = Field(description="The longest of these waits.")
    ready: int = Field(description="Tasks that waited for a worker, at the step's worst minute.")
    running: int = Field(description="Tasks in hand, at the step's busiest minute.")
    oldest_seconds: float = Field(description="How long the oldest ready task had waited, at the step's worst minute.")


class KindStats(Frozen):
    """A kind's steps, the oldest first. A step that is missing: no worker was there."""

    kind: str
    points: tuple[StatPoint, ...]


class StatSeries(Frozen):
    """The last hours, in at most 120 steps of whole minutes that begin at `since`."""

    since: AwareDatetime
    step_seconds: int = Field(description="How long each step is; points are for the whole step, not for a minute.")
    kinds: tuple[KindStats, ...]


class WorkerInfo(Frozen):
    """A worker as the database last saw it; `running_tasks` are tasks."""

    worker_id: UUID
    host: str | None
    version: str | None
    seen_at: AwareDatetime
    last_seen_seconds: float
    running_tasks: int
    not_configured: dict[str, str] = Field(
        default_factory=dict,
        description="Settings that the worker lacks, each with what does not work without it.",
        examples=[{"MAIL_URL": "this worker sends no mails"}],
    )


class BreakerStatus(Frozen):
    """A circuit breaker as all processes share it: a source's, or the model's."""

    name: str
    state: str = Field(description="closed, open or half_open", examples=["closed"])
    failures: int = Field(description="Failures since the last success that count against it.")
    retry_after: float | None = Field(description="Seconds until the next try; null while it is closed.")
    reason: str | None = Field(None, description="The last failure.", examples=["HTTP 503 from export.arxiv.org"])
    failed_at: AwareDatetime | None = Field(None, description="When that was.")


class SourceDay(Frozen):
    """How many items a source gave for a day's edition."""

    day: date
    items: int


class SourceStatus(Frozen):
    """How it last went with a source, and what it gave for the last seven days, those without anything left out."""

    name: str
    succeeded_at: AwareDatetime | None = Field(description="When it was last read; null: not that anybody knows.")
    source_date: date | None = Field(description="The day for which it was last read.")
    items: int | None = Field(description="How many items it gave then.")
    failed_at: AwareDatetime | None = Field(
        description="When it last failed: later than `succeeded_at`, it still does."
    )
    error: str | None = Field(description="Why it last failed.")
    days: tuple[SourceDay, ...] | None = Field(description="Items by the edition's day (UTC), the oldest first.")


class FailedTask(Frozen):
    """A task that failed for good; it can be replayed."""

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
    """The mails at this moment."""

    paused: str | None = Field(description="Why none begins; null: they do.")
    pending: int = Field(description="Mails that wait to be sent.")
    sending: int = Field(description="Mails that are being sent.")
    in_doubt: int = Field(description="Mails of which nobody knows whether they were sent.")
    latest_in_doubt: tuple[Delivery, ...] = Field(description="The last 20 of these, newest first.")


class ReaderCount(Frozen):
    """How many readers of an owner have a status."""

    owner: str
    status: str
    readers: int


class ModelUsageToday(Frozen):
    """What digests asked of the language model since midnight (UTC), as reported up to a minute ago."""

    calls: int
    failures: int
    input_tokens: int
    output_tokens: int


class Overview(Frozen):
    """The whole picture at one moment of the database's clock, `at`."""

    at: AwareDatetime
    kinds: tuple[KindStatus, ...]
    minutes: StatSeries
    workers: tuple[WorkerInfo, ...]
    breakers: tuple[BreakerStatus, ...]
    sources: tuple[SourceStatus, ...]
    failed: tuple[FailedTask, ...] = Field(description="The last 20 that failed for good, the last one first.")
    deliveries: DeliveriesNow
    readers: tuple[ReaderCount, ...]
    model_today: ModelUsageToday
