"""The keys under which a second task like the first is known as the first: callers' and the service's own."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True)
class CallerKey:
    """An idempotency key that an API caller chose, and what they sent with it.

    A repetition is compared by that, not by what was made of it: a day that is left out is another one tomorrow. With
    None it is compared by the task's own values; `payload["request_id"]` does not count among them.
    """

    key: str
    sent: dict[str, Any] | None = None
    place: int | None = None
    """For a key of a whole batch: the task's place in it."""

    @property
    def stored(self) -> str:
        """The key as it lies in the table; the prefix keeps callers away from the service's own."""
        return f"caller:{self.key}" if self.place is None else f"batch:{self.key}:{self.place}"


@dataclass(frozen=True)
class OwnKey:
    """A key of the service's own, such as `fetch:2026-11-22`; it passes on when its task failed or was cancelled."""

    key: str

    @property
    def stored(self) -> str:
        """The key as it lies in the table."""
        return f"own:{self.key}"


def daily_key(due: datetime, source_date: date) -> OwnKey:
    """The key under which a day is looked at once at each time of `DAILY_FETCH_AT`, whichever worker asks."""
    return OwnKey(f"daily:{due:%Y-%m-%d:%H:%M:%S}:{source_date.isoformat()}")


def fetch_key(source_date: date) -> OwnKey:
    """The key that makes the service's own fetch of a day one task, whoever asks for it."""
    return OwnKey(f"fetch:{source_date.isoformat()}")
