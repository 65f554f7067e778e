"""The worker's side of the queue: numbered sync calls, each a single rpc, safe to repeat until they are answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from supabase import AsyncClient

from app.models import TaskKind, TaskStatus
from app.persistence.errors import parsed, supabase_errors
from app.persistence.json_values import clean_text
from app.persistence.outcomes import MAX_TEXT, Lease, Outcome, to_row


class Progress(NamedTuple):
    """How far a running task is, for people: `progress` from 0 to 1."""

    message: str
    progress: float


class ClaimedTask(NamedTuple):
    """A task as its worker gets it."""

    lease: Lease
    kind: TaskKind
    attempt: int
    max_attempts: int
    waited: timedelta
    """Since it was begun for the first time."""
    source_date: date | None
    payload: dict[str, Any]

    @property
    def task_id(self) -> UUID:
        """The task's id."""
        return self.lease.task_id


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an outcome was not applied, and the status that its task has now (None: there is no such task)."""

    task_id: UUID
    verdict: Literal["applied_already", "lost"]
    status: TaskStatus | None


@dataclass(frozen=True, slots=True)
class SyncAnswer:
    """What a sync call brought."""

    number: int
    claimed: tuple[ClaimedTask, ...] = ()
    not_applied: tuple[Verdict, ...] = ()
    """Of the outcomes those that did not count; all others did."""
    cancel: tuple[Lease, ...] = ()
    """What somebody wants to be stopped."""
    leases: tuple[Lease, ...] | None = None
    """All that this worker still has in hand, if it was away so long that some may have been taken from it."""
    next_task_seconds: float | None = None
    """How long until the next delayed task is ready; None if there is none, or if the slots ran out before it."""
    outdated: bool = False
    """The call's number is older than one that was answered: nothing was done."""
    unreadable: tuple[Lease, ...] = ()
    """Tasks that were claimed and are not in `claimed`, because their rows hold what this code cannot read."""


@dataclass(frozen=True, slots=True)
class SyncCall:
    """A numbered call. Sending it again, byte for byte, gives the answer of the first time."""

    number: int
    parameters: Mapping[str, Any]


class _Response(BaseModel):
    outcomes: tuple[Verdict, ...] = ()
    cancel: tuple[Lease, ...] = ()
    leases: tuple[Lease, ...] | None = None
    next_task_seconds: float | None = None
    outdated: bool = False


class _Answer(BaseModel):
    number: int
    token: UUID
    response: _Response
    claimed: list[Any]


_ANSWER = TypeAdapter(_Answer)
_ROW = tuple[UUID, TaskKind, int, int, timedelta, date | None, dict[str, Any]]
_ROWS = TypeAdapter(list[_ROW])
_UUID = TypeAdapter(UUID)


class TaskQueue:
    """One worker's access to the queue. A worker has one call in flight, and sends it until it is answered.

    `host` and `version` are for the operators' list of workers.
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
        self._client = client
        self._worker_id = worker_id
        self._kinds = tuple(kinds)
        self._lease = lease
        self._about = {"p_host": host, "p_version": version}
        self._number = 0

    def prepare(
        self,
        *,
        outcomes: Mapping[Lease, Outcome],
        slots: int,
        kind_slots: Mapping[TaskKind, int] | None = None,
        progress: Mapping[Lease, Progress] | None = None,
    ) -> SyncCall:
        """Make the next call: `outcomes` and `progress` of tasks, and up to `slots` tasks to claim.

        Of a kind in `kind_slots` no more than so many are claimed. Never raises: an outcome that cannot be stored is
        one of failure.
        """
        self._number += 1
        limits = kind_slots or {}
        response = [to_row(lease, outcome) for lease, outcome in outcomes.items()]
        parameters = {
            "p_worker": str(self._worker_id),
            "p_number": self._number,
            "p_lease_seconds": self._lease.total_seconds(),
            "p_kinds": [kind.value for kind in self._kinds],
            "p_limits": [min(slots, limits.get(kind, slots)) for kind in self._kinds],
            "p_slots": slots,
            "p_completed": [each for each in response if "outcome" not in each],
            "p_outcomes": [each for each in response if "outcome" in each],
            "p_progress": [_shown(lease, shown) for lease, shown in (progress or {}).items()],
            **self._about,
        }
        return SyncCall(self._number, parameters)

    def without_claims(self, call: SyncCall) -> SyncCall:
        """Make the next call, which does what `call` did but claims nothing."""
        self._number += 1
        return SyncCall(self._number, {**call.parameters, "p_slots": 0, "p_number": self._number})

    async def sync(self, call: SyncCall) -> SyncAnswer:
        """Send `call`; after `SupabaseUnavailable` send the same one again, for it may have been applied.

        Raises `SupabaseError`; `UnreadableResponse` if an answer came that says nothing.
        """
        with supabase_errors(f"sync worker {self._worker_id}, call {call.number}"):
            answer = await self._client.rpc("sync_worker", dict(call.parameters)).execute()
        return _understood(parsed(_ANSWER, answer.data))


def _understood(answer: _Answer) -> SyncAnswer:
    rows, unreadable = _rows(answer.claimed)
    response, token = answer.response, answer.token
    return SyncAnswer(
        answer.number,
        tuple(ClaimedTask(Lease(row[0], token), *row[1:]) for row in rows),
        response.outcomes,
        response.cancel,
        response.leases,
        response.next_task_seconds,
        response.outdated,
        tuple(Lease(task_id, token) for task_id in unreadable),
    )


def _rows(claimed: list[Any]) -> tuple[list[_ROW], list[UUID]]:
    """The claimed rows, and the ids of those that cannot be read: the others are not their fault."""
    try:
        return _ROWS.validate_python(claimed), []
    except ValidationError:
        pass
    rows, unreadable = [], []
    for row in claimed:
        try:
            rows += _ROWS.validate_python([row])
        except ValidationError:
            unreadable += [_UUID.validate_python(row[0])] if _names_a_task(row) else []
    return rows, unreadable


def _names_a_task(row: object) -> bool:
    try:
        _UUID.validate_python(row[0] if isinstance(row, list) and row else None)
    except ValidationError:
        return False
    return True


def _shown(lease: Lease, shown: Progress) -> dict[str, Any]:
    message = clean_text(shown.message)[:MAX_TEXT]
    progress = min(1.0, max(0.0, shown.progress))
    return {
        "task_id": str(lease.task_id),
        "lease_token": str(lease.lease_token),
        "message": message,
        "progress": progress,
    }
