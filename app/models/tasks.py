"""Tasks: what the queue holds and callers poll."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from app.models.values import Frozen


class TaskKind(StrEnum):
    """The kind of work."""

    FETCH = "fetch"
    DIGEST = "digest"
    DELIVERY = "delivery"
    CALLBACK = "callback"
    IMPORT = "import"


class TaskStatus(StrEnum):
    """A task's status; docs/ARCHITECTURE.md has the state diagram."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the task has ended; only a replay changes it again."""
        return self in {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}


class Task(Frozen):
    """A task: the queue's entry and the record that callers poll.

    `reader_id` is set if the task is for one reader, `local_day` if the reader's schedule created it. `progress` is a
    number from 0 to 1, the maximum of all attempts. Times are the database's.
    """

    task_id: UUID
    owner: str = "default"
    kind: TaskKind
    status: TaskStatus
    priority: int = 1
    run_at: datetime
    error: str | None = None
    message: str | None = None
    progress: float = 0.0
    source_date: date | None = None
    parent: UUID | None = None
    reader_id: UUID | None = None
    local_day: date | None = None
    callback_url: str | None = None
    attempt: int = 0
    max_attempts: int
    cancel_requested: bool = False
    created_at: datetime
    started_at: datetime | None = None
    updated_at: datetime
    finished_at: datetime | None = None
