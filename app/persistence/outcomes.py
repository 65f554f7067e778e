"""The possible outcomes of a claimed task, and their form in the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, assert_never
from uuid import UUID

import structlog

from app.errors import PermanentError
from app.persistence.json_values import clean_result, clean_text

log = structlog.get_logger(__name__)

MAX_TEXT = 2000
"""Characters of an error or a message that are stored."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The task is done. If the result is not a JSON object, or is too large, the task fails instead.

    `digest` is the output of a digest task: `app.models.Digest` as JSON, stored separately from the result.
    """

    result: Mapping[str, Any]
    digest: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed. The next one follows after `retry_in` while attempts are left; None: never."""

    error: str
    retry_in: timedelta | None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The task cannot run yet. It runs again after `delay`, or when the task `waits_for` has ended. Uses no attempt."""

    delay: timedelta
    reason: str
    waits_for: UUID | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """This worker shuts down. The task returns to the queue and keeps its attempt."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The task was stopped on request."""


Outcome = Completed | Failed | Snoozed | Released | Cancelled


class Lease(NamedTuple):
    """A task that this worker has claimed. The token proves it."""

    task_id: UUID
    lease_token: UUID


def to_row(lease: Lease, outcome: Outcome) -> dict[str, Any]:
    """Return the row that sync_worker() expects. Never raises: an outcome that cannot be stored becomes a failure."""
    return {"task_id": str(lease.task_id), "lease_token": str(lease.lease_token), **_storable(outcome)}


def _storable(outcome: Outcome) -> dict[str, Any]:
    """Return the fields of `outcome`, or of a failure if it cannot be stored."""
    try:
        return _parts(outcome)
    except PermanentError as error:
        # One bad result must not prevent the other outcomes of the call from being recorded.
        return _parts(Failed(error=str(error), retry_in=None))
    except Exception as error:
        log.exception("outcome cannot be stored", outcome=type(outcome).__name__)
        return _parts(Failed(error=f"the outcome cannot be stored: {type(error).__name__}", retry_in=None))


def _parts(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Completed(result, digest):
            # Without "outcome": completions have a parameter of their own, for speed.
            row = {"result": clean_result(result)}
            return row if digest is None else row | {"digest": clean_result(digest)}
        case Failed(error, retry_in):
            return {
                "outcome": "failed",
                "error": clean_text(error)[:MAX_TEXT],
                "permanent": retry_in is None,
                "delay_seconds": None if retry_in is None else retry_in.total_seconds(),
            }
        case Snoozed(delay, reason, waits_for):
            return {
                "outcome": "snoozed",
                "error": clean_text(reason)[:MAX_TEXT],
                "delay_seconds": delay.total_seconds(),
                "waits_for": str(waits_for) if waits_for else None,
            }
        case Released():
            return {"outcome": "released"}
        case Cancelled():
            return {"outcome": "cancelled"}
        case _ as never:
            assert_never(never)
