"""The worker's side of the queue: numbered sync calls, each a single rpc, safe to repeat until they are answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, assert_never
from uuid import UUID

import structlog
from pydantic import TypeAdapter, ValidationError
from supabase import AsyncClient

from app.errors import PermanentError, UnreadableAnswer
from app.models import TaskKind, TaskStatus
from app.persistence.errors import parsed, supabase_errors
from app.persistence.json_values import clean_result, clean_text

log = structlog.get_logger(__name__)

MAX_ERROR_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class Completed:
    """The task is done. A result that is no JSON object, or too large, fails its task when it is recorded."""

    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed; another comes after `retry_in` while attempts are left, none at all if it is None."""

    error: str
    retry_in: timedelta | None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The task cannot be done yet; it comes back after `delay` with no attempt burnt."""

    delay: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """This worker shuts down; the task goes back with its attempt."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The task was stopped because somebody asked for it."""


Outcome = Completed | Failed | Snoozed | Released | Cancelled


@dataclass(frozen=True, slots=True)
class Lease:
    """A task in this worker's hands; the token proves it."""

    task_id: UUID
    lease_token: UUID


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """A task as its worker gets it."""

    task_id: UUID
    kind: TaskKind
    payload: dict[str, Any]
    source_date: date | None
    attempt: int
    max_attempts: int
    lease_token: UUID

    @property
    def lease(self) -> Lease:
        """What renewing and finishing it takes."""
        return Lease(self.task_id, self.lease_token)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an outcome, and the status that its task has now (None: there is no such task)."""

    task_id: UUID
    verdict: Literal["applied", "applied_already", "lost"]
    status: TaskStatus | None


@dataclass(frozen=True, slots=True)
class SyncAnswer:
    """What a sync call brought: verdicts on outcomes, leases lost, tasks to cancel, tasks claimed."""

    number: int
    outcomes: tuple[Verdict, ...]
    lost: tuple[Lease, ...]
    cancel: tuple[Lease, ...]
    claimed: tuple[ClaimedTask, ...]
    next_task_seconds: float | None
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


_ANSWER = TypeAdapter(SyncAnswer)
_CLAIMED = TypeAdapter(ClaimedTask)
_LEASE = TypeAdapter(Lease)


class TaskQueue:
    """One worker's access to the queue. A worker has one call in flight, and sends it until it is answered."""

    def __init__(self, client: AsyncClient, *, worker_id: UUID, kinds: Sequence[TaskKind], lease: timedelta) -> None:
        self._client = client
        self._worker_id = worker_id
        self._kinds = tuple(kinds)
        self._lease = lease
        self._number = 0

    def prepare(
        self,
        *,
        outcomes: Mapping[Lease, Outcome],
        renewals: Sequence[Lease],
        slots: int,
        kind_slots: Mapping[TaskKind, int] | None = None,
    ) -> SyncCall:
        """Make the next call: `outcomes` of tasks, `renewals` of leases, and up to `slots` tasks to claim.

        Of a kind in `kind_slots` no more than so many are claimed. Never raises: an outcome that cannot be stored is
        one of failure.
        """
        self._number += 1
        limits = kind_slots or {}
        parameters = {
            "p_worker": str(self._worker_id),
            "p_number": self._number,
            "p_slots": slots,
            "p_kind_slots": {kind.value: min(slots, limits.get(kind, slots)) for kind in self._kinds},
            "p_lease_seconds": self._lease.total_seconds(),
            "p_outcomes": [_leased(lease) | _described(outcome) for lease, outcome in outcomes.items()],
            "p_renewals": [_leased(lease) for lease in renewals],
        }
        return SyncCall(self._number, parameters)

    def without_claims(self, call: SyncCall) -> SyncCall:
        """Make the next call, which does what `call` did but claims nothing."""
        self._number += 1
        nothing = {"p_slots": 0, "p_kind_slots": {}, "p_number": self._number}
        return SyncCall(self._number, {**call.parameters, **nothing})

    async def sync(self, call: SyncCall) -> SyncAnswer:
        """Send `call`; after `SupabaseUnavailable` send the same one again, for it may have been applied.

        Raises `SupabaseError`; `UnreadableAnswer` if an answer came that says nothing.
        """
        with supabase_errors(f"sync worker {self._worker_id}, call {call.number}"):
            answer = await self._client.rpc("sync_worker", dict(call.parameters)).execute()
        try:
            return parsed(_ANSWER, answer.data)
        except UnreadableAnswer:
            return parsed(_ANSWER, _sorted_out(answer.data))


def _sorted_out(data: Any) -> Any:
    """An answer of which some claimed rows cannot be read, with these apart: the others are not their fault."""
    if not isinstance(data, dict) or not isinstance(data.get("claimed"), list):
        return data
    readable = [row for row in data["claimed"] if _reads(_CLAIMED, row)]
    unreadable = [row for row in data["claimed"] if row not in readable and _reads(_LEASE, row)]
    return data | {"claimed": readable, "unreadable": unreadable}


def _reads(adapter: TypeAdapter[Any], row: object) -> bool:
    try:
        adapter.validate_python(row)
    except ValidationError:
        return False
    return True


def _leased(lease: Lease) -> dict[str, Any]:
    return {"task_id": str(lease.task_id), "lease_token": str(lease.lease_token)}


def _described(outcome: Outcome) -> dict[str, Any]:
    """What the database is told of `outcome`: a failure, if that cannot be said."""
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
        case Completed(result):
            return {"outcome": "completed", "result": clean_result(result)}
        case Failed(error, retry_in):
            delay = None if retry_in is None else retry_in.total_seconds()
            return {
                "outcome": "failed",
                "error": clean_text(error)[:MAX_ERROR_LENGTH],
                "permanent": retry_in is None,
                "delay_seconds": delay,
            }
        case Snoozed(delay, reason):
            reason = clean_text(reason)[:MAX_ERROR_LENGTH]
            return {"outcome": "snoozed", "error": reason, "delay_seconds": delay.total_seconds()}
        case Released():
            return {"outcome": "released"}
        case Cancelled():
            return {"outcome": "cancelled"}
        case _ as never:
            assert_never(never)
