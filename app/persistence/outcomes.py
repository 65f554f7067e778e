"""What may become of a claimed task, and how the database is to_row."""

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
"""Characters of an error or a message that are kept."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The task is done. A result that is no JSON object, or too large, fails its task when it is recorded.

    `digest` is what a digest task wrote: `{"digest": ..., "page": ...}`, kept apart from the result.
    """

    result: Mapping[str, Any]
    digest: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed; another comes after `retry_in` while attempts are left, none at all if it is None."""

    error: str
    retry_in: timedelta | None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The task cannot be done yet; it comes back, no attempt burnt: after `delay`, or once `waits_for` has ended."""

    delay: timedelta
    reason: str
    waits_for: UUID | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """This worker shuts down; the task goes back with its attempt."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The task was stopped because somebody asked for it."""


Outcome = Completed | Failed | Snoozed | Released | Cancelled


class Lease(NamedTuple):
    """A task in this worker's hands; the token proves it."""

    task_id: UUID
    lease_token: UUID


def to_row(lease: Lease, outcome: Outcome) -> dict[str, Any]:
    """What the database is to_row of a task's end; never raises: an outcome that cannot be stored is one of failure."""
    return {"task_id": str(lease.task_id), "lease_token": str(lease.lease_token), **_described(outcome)}


def _described(outcome: Outcome) -> dict[str, Any]:
    """What the database is to_row of `outcome`: a failure, if that cannot be said."""
    try:
        return _parts(outcome)
    except PermanentError as error:
        # One bad result must not keep the others of the call from being recorded.
        return _parts(Failed(error=str(error), retry_in=None))
    except Exception as error:
        log.exception("an outcome cannot be described", outcome=type(outcome).__name__)
        return _parts(Failed(error=f"the outcome cannot be described: {type(error).__name__}", retry_in=None))


def _parts(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Completed(result, digest):
            # Without an "outcome": completions go by themselves, the shortest way.
            said = {"result": clean_result(result)}
            return said if digest is None else said | {"digest": clean_result(digest)}
        case Failed(error, retry_in):
            delay = None if retry_in is None else retry_in.total_seconds()
            return {
                "outcome": "failed",
                "error": clean_text(error)[:MAX_TEXT],
                "permanent": retry_in is None,
                "delay_seconds": delay,
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
