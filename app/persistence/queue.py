"""The worker's access to the queue: numbered sync calls, each a single rpc that is safe to repeat."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from supabase import AsyncClient

from app.models.tasks import TaskKind, TaskStatus
from app.persistence.json_values import clean_text
from app.persistence.outcomes import MAX_TEXT, Lease, Outcome, to_row
from app.persistence.repository import Repository


class Progress(NamedTuple):
    """The progress of a running task, from 0 to 1, with a message for people."""

    message: str
    progress: float


class ClaimedTask(NamedTuple):
    """A task as its worker receives it."""

    lease: Lease
    kind: TaskKind
    attempt: int
    max_attempts: int
    waited: timedelta
    """The time since its first attempt began."""
    source_date: date | None
    payload: dict[str, Any]
    trace: str | None = None
    """Its W3C trace context, or else the id of the task that caused it."""

    @property
    def task_id(self) -> UUID:
        """The task's id."""
        return self.lease.task_id


@dataclass(frozen=True, slots=True)
class RejectedOutcome:
    """Why an outcome was not applied, and the current status of its task (None: the task does not exist)."""

    task_id: UUID
    verdict: Literal["applied_already", "lost"]
    status: TaskStatus | None


@dataclass(frozen=True, slots=True)
class SyncResponse:
    """The result of a sync call."""

    number: int
    claimed: tuple[ClaimedTask, ...] = ()
    rejected_outcomes: tuple[RejectedOutcome, ...] = ()
    """The outcomes that were not applied. All others were."""
    cancel: tuple[Lease, ...] = ()
    """Running tasks whose cancellation was requested."""
    leases: tuple[Lease, ...] | None = None
    """All leases that this worker still holds; only set if some may have expired since its last call."""
    next_task_seconds: float | None = None
    """Seconds until the next delayed task is ready; None if there is none, or if the slots were used up."""
    outdated: bool = False
    """A call with a higher number was already processed: nothing was done."""
    unreadable: tuple[Lease, ...] = ()
    """Claimed tasks that are missing in `claimed`, because this code cannot read their rows."""


@dataclass(frozen=True, slots=True)
class SyncCall:
    """A numbered call. Sending the same bytes again returns the first response."""

    number: int
    parameters: Mapping[str, Any]


class _Response(BaseModel):
    outcomes: tuple[RejectedOutcome, ...] = ()
    cancel: tuple[Lease, ...] = ()
    leases: tuple[Lease, ...] | None = None
    next_task_seconds: float | None = None
    outdated: bool = False


class _RawResponse(BaseModel):
    number: int
    token: UUID
    response: _Response
    claimed: list[Any]


_ROW = tuple[UUID, TaskKind, int, int, timedelta, date | None, dict[str, Any], str | None]
_ROWS = TypeAdapter(list[_ROW])
_UUID = TypeAdapter(UUID)


class TaskQueue(Repository):
    """One worker's access to the queue. A worker has one call in flight and repeats it until it gets a response.

    `host` and `version` appear in the operators' list of workers.
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        worker_id: UUID,
        kinds: Sequence[TaskKind],
        lease: timedelta,
        host: str | None = None,
        version: str | None = None,
    ) -> None:
        super().__init__(client)
        self._worker_id = worker_id
        self._kinds = tuple(kinds)
        self._lease = lease
        self._worker_info = {"p_host": host, "p_version": version}
        self._number = 0

    def prepare(
        self,
        *,
        outcomes: Mapping[Lease, Outcome],
        slots: int,
        kind_slots: Mapping[TaskKind, int] | None = None,
        progress: Mapping[Lease, Progress] | None = None,
    ) -> SyncCall:
        """Build the next call: it reports `outcomes` and `progress`, and claims up to `slots` tasks.

        `kind_slots` limits the claims of single kinds. Never raises: an outcome that cannot be stored becomes a
        failure.
        """
        self._number += 1
        limits = kind_slots or {}
        rows = [to_row(lease, outcome) for lease, outcome in outcomes.items()]
        parameters = {
            "p_worker": str(self._worker_id),
            "p_number": self._number,
            "p_lease_seconds": self._lease.total_seconds(),
            "p_kinds": [kind.value for kind in self._kinds],
            "p_limits": [min(slots, limits.get(kind, slots)) for kind in self._kinds],
            "p_slots": slots,
            "p_completed": [row for row in rows if "outcome" not in row],
            "p_outcomes": [row for row in rows if "outcome" in row],
            "p_progress": [_progress_row(lease, reported) for lease, reported in (progress or {}).items()],
            **self._worker_info,
        }
        return SyncCall(self._number, parameters)

    def without_claims(self, call: SyncCall) -> SyncCall:
        """Build the next call from `call`, but without claims."""
        self._number += 1
        return SyncCall(self._number, {**call.parameters, "p_slots": 0, "p_number": self._number})

    async def sync(self, call: SyncCall) -> SyncResponse:
        """Send `call`. After `SupabaseUnavailable`, send the same call again: it may have been applied.

        Raises `SupabaseError`, also `UnreadableResponse`.
        """
        action = f"sync worker {self._worker_id}, call {call.number}"
        return _to_sync_response(await self._call("sync_worker", action, _RawResponse, **call.parameters))


def _to_sync_response(raw: _RawResponse) -> SyncResponse:
    rows, unreadable = _readable_rows(raw.claimed)
    response, token = raw.response, raw.token
    return SyncResponse(
        raw.number,
        tuple(ClaimedTask(Lease(row[0], token), *row[1:]) for row in rows),
        response.outcomes,
        response.cancel,
        response.leases,
        response.next_task_seconds,
        response.outdated,
        tuple(Lease(task_id, token) for task_id in unreadable),
    )


def _readable_rows(claimed: list[Any]) -> tuple[list[_ROW], list[UUID]]:
    """Return the readable rows, and the ids of the others: one bad row must not block the rest."""
    try:
        return _ROWS.validate_python(claimed), []
    except ValidationError:
        pass
    rows, unreadable = [], []
    for row in claimed:
        try:
            rows += _ROWS.validate_python([row])
        except ValidationError:
            with suppress(ValidationError, LookupError, TypeError):  # a row without an id
                unreadable.append(_UUID.validate_python(row[0]))
    return rows, unreadable


def _progress_row(lease: Lease, reported: Progress) -> dict[str, Any]:
    return {
        "task_id": str(lease.task_id),
        "lease_token": str(lease.lease_token),
        "message": clean_text(reported.message)[:MAX_TEXT],
        "progress": min(1.0, max(0.0, reported.progress)),
    }
