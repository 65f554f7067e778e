"""A task that is to be created."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from app.models.tasks import Task, TaskKind, TaskStatus
from app.persistence.idempotency_keys import CallerKey, OwnKey
from app.persistence.json_values import clean

DEFAULT_ATTEMPTS = 5


@dataclass(frozen=True)
class NewTask:
    """A task to be created, ready after `delay`. `key` is its idempotency key, if any."""

    task_id: UUID
    kind: TaskKind
    payload: Mapping[str, Any]
    source_date: date | None
    priority: int = 1
    delay: timedelta = timedelta(0)
    max_attempts: int = DEFAULT_ATTEMPTS
    callback_url: str | None = None
    key: CallerKey | OwnKey | None = None

    def as_row(self) -> dict[str, Any]:
        """Return the row that create_tasks() expects."""
        payload = clean(dict(self.payload))
        day = self.source_date.isoformat() if self.source_date else None
        sent = self.key.sent if isinstance(self.key, CallerKey) else None
        # The request id differs between repetitions of one request.
        own_values = [{**payload, "request_id": None}, day, self.priority, self.callback_url]
        request = own_values if sent is None else clean(sent)
        return {
            "task_id": str(self.task_id),
            "kind": self.kind.value,
            "payload": payload,
            "source_date": day,
            "priority": self.priority,
            "delay_seconds": self.delay.total_seconds(),
            "max_attempts": self.max_attempts,
            "callback_url": self.callback_url,
            "idempotency_key": self.key.stored if self.key else None,
            "request_hash": _hash([self.kind.value, request]),
        }

    def as_created(self, owner: str, created_at: datetime) -> Task:
        """Return the task as created."""
        return Task(
            task_id=self.task_id,
            owner=owner,
            kind=self.kind,
            status=TaskStatus.PENDING,
            priority=self.priority,
            run_at=created_at + self.delay,
            source_date=self.source_date,
            callback_url=self.callback_url,
            max_attempts=self.max_attempts,
            created_at=created_at,
            updated_at=created_at,
        )


def _hash(request: Any) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
