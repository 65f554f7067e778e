"""Idempotency keys: a second task with the same key is the first one. Callers choose some, the service others."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True)
class CallerKey:
    """An idempotency key that an API caller chose, and the request that they sent with it.

    A repetition must have the same request, not the same task: a request without a day means another day tomorrow. If
    `sent` is None, the task's own values are compared, without `payload["request_id"]`.
    """

    key: str
    sent: dict[str, Any] | None = None
    place: int | None = None
    """For the key of a batch: the task's index in it."""

    @property
    def stored(self) -> str:
        """The key as stored. The prefix separates callers' keys from the service's own."""
        return f"caller:{self.key}" if self.place is None else f"batch:{self.key}:{self.place}"


@dataclass(frozen=True)
class OwnKey:
    """A key of the service's own, such as `fetch:2026-11-22`. A new task takes it over if its task failed or was
    cancelled.
    """

    key: str

    @property
    def stored(self) -> str:
        """The key as stored."""
        return f"own:{self.key}"


def daily_key(due: datetime, source_date: date) -> OwnKey:
    """The key of a day's fetch at one time of `DAILY_FETCH_AT`. All workers use the same, so it is created once."""
    return OwnKey(f"daily:{due:%Y-%m-%d:%H:%M:%S}:{source_date.isoformat()}")


def fetch_key(source_date: date) -> OwnKey:
    """The key of the service's fetch of a day. All who need the day share this one task."""
    return OwnKey(f"fetch:{source_date.isoformat()}")
