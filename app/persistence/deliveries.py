"""Deliveries: the status of each mail to a reader. A reader's day has at most one, and it is sent at most once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import Field, TypeAdapter
from supabase import AsyncClient

from app.errors import DeliveryNotFound, NotInDoubt
from app.models import Frozen
from app.persistence.digests import StoredDigest
from app.persistence.errors import VOID, parsed, supabase_errors
from app.persistence.json_values import clean_text
from app.persistence.outcomes import MAX_TEXT, Lease
from app.persistence.paging import decode_cursor, encode_cursor

MAX_PAGE = 100

DeliveryKind = Literal["digest", "welcome"]


class DeliveryStatus(StrEnum):
    """The status of a delivery. `in_doubt`: nobody can know whether the mail was sent."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    SKIPPED = "skipped"


EndStatus = Literal[
    DeliveryStatus.SENT, DeliveryStatus.FAILED, DeliveryStatus.IN_DOUBT, DeliveryStatus.PENDING, DeliveryStatus.SENDING
]
ResolvedStatus = Literal[DeliveryStatus.SENT, DeliveryStatus.FAILED, DeliveryStatus.PENDING]


class Delivery(Frozen):
    """A row of `deliveries`. `begun_at`: when the first attempt to send it began."""

    delivery_id: UUID
    owner: str
    reader_id: UUID
    kind: DeliveryKind
    local_day: date
    digest_id: UUID | None = None
    task_id: UUID | None = None
    status: DeliveryStatus
    reason: str | None = None
    provider_id: str | None = None
    resolved_by: str | None = None
    created_at: datetime
    begun_at: datetime | None = None
    ended_at: datetime | None = None


class MailParts(Frozen):
    """The content of a delivery's mail. It stays the same until it is certain that nothing was sent."""

    delivery_id: UUID
    reader_id: UUID
    kind: DeliveryKind
    local_day: date
    created_at: datetime
    name: str
    email: str
    link_generation: int
    digest: StoredDigest | None = None
    """None for a welcome mail, or if the digest was removed."""


class Send(Frozen):
    """Only this lease may send the mail, and it must report the outcome."""

    verdict: Literal["send"]
    mail: MailParts
    begun_before: bool
    """Whether an earlier attempt may have sent it."""


class SkipDelivery(Frozen):
    """The delivery has ended. There is nothing to send."""

    verdict: Literal["stop"]
    status: DeliveryStatus
    reason: str | None = None


class Paused(Frozen):
    """Deliveries are paused."""

    verdict: Literal["paused"]
    reason: str


class DeliveryLost(Frozen):
    """The lease is not, or no longer, the one that may send this delivery."""

    verdict: Literal["lost"]


SendDecision = Send | SkipDelivery | Paused | DeliveryLost


class _Resolved(Frozen):
    resolved: bool
    delivery: Delivery


@dataclass(frozen=True)
class DeliveryPage:
    """Deliveries, newest first, and the cursor of the next page (None on the last page)."""

    deliveries: tuple[Delivery, ...]
    next_cursor: str | None


_DELIVERIES = TypeAdapter(list[Delivery])
_DECISION = TypeAdapter[SendDecision](Annotated[SendDecision, Field(discriminator="verdict")])
_RESOLVED = TypeAdapter(_Resolved | None)
_FLAG = TypeAdapter(bool)
_COUNT = TypeAdapter(int)
_REASON = TypeAdapter(str | None)


class Deliveries:
    """Reads and changes deliveries. The transaction that completes a digest creates its delivery."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def begin(
        self, delivery_id: UUID, lease: Lease, *, repeatable_within: timedelta | None, sender_id: str
    ) -> SendDecision:
        """Request to send a delivery under the lease of its task. A repeated call returns the same decision.

        A delivery whose sender was lost while sending becomes `in_doubt`. With `repeatable_within` (for how long the
        provider treats the same key as the same mail), this lease sends it again instead, if `sender_id` is the account
        that began it. Raises `SupabaseError`.
        """
        parameters = {
            "p_delivery_id": str(delivery_id),
            "p_token": str(lease.lease_token),
            "p_repeatable_seconds": repeatable_within.total_seconds() if repeatable_within is not None else None,
            "p_sender_id": sender_id,
        }
        with supabase_errors(f"begin to send delivery {delivery_id}"):
            response = await self._client.rpc("begin_sending", parameters).execute()
        return parsed(_DECISION, response.data)

    async def end(
        self,
        delivery_id: UUID,
        lease: Lease,
        status: EndStatus,
        *,
        reason: str | None = None,
        provider_id: str | None = None,
        bounce: bool = False,
    ) -> bool:
        """Record the outcome of an attempt that `begin` allowed. `pending`: it is certain that nothing was sent.

        `sending`: this attempt could not tell (`reason` says why); the next one repeats it under the same key.
        `bounce`: the address does not exist, so the reader gets no more mail. Returns False if this lease does not
        hold the delivery (any more). Raises `SupabaseError`.
        """
        parameters = {
            "p_delivery_id": str(delivery_id),
            "p_token": str(lease.lease_token),
            "p_status": status.value,
            "p_reason": _truncated(reason),
            "p_provider_id": _truncated(provider_id),
            "p_bounce": bounce,
        }
        with supabase_errors(f"end delivery {delivery_id}"):
            response = await self._client.rpc("finish_sending", parameters).execute()
        return parsed(_FLAG, response.data)

    async def record_bounce(self, addresses: Sequence[str], reason: str, *, complaint: bool) -> int:
        """Stop the mail of all readers at an e-mail address, given in all its spellings.

        Their status becomes `bounced`, or after a complaint `unsubscribed`. Returns how many readers it stopped; a
        repetition stops none. Raises `SupabaseError`.
        """
        parameters = {
            "p_addresses": [clean_text(each) for each in addresses],
            "p_complaint": complaint,
            "p_reason": _truncated(reason),
        }
        with supabase_errors("record a bounce"):
            response = await self._client.rpc("record_bounce", parameters).execute()
        return parsed(_COUNT, response.data)

    async def get(self, delivery_id: UUID, owner: str | None = None) -> Delivery:
        """Read a delivery. Raises `DeliveryNotFound`, also for another owner's, and `SupabaseError`."""
        query = self._client.table("deliveries").select(",".join(Delivery.model_fields))
        query = query.eq("delivery_id", str(delivery_id))
        if owner is not None:
            query = query.eq("owner", owner)
        with supabase_errors(f"read delivery {delivery_id}"):
            response = await query.limit(1).execute()
        found = parsed(_DELIVERIES, response.data)
        if not found:
            raise _no_delivery(delivery_id)
        return found[0]

    async def page(
        self,
        owner: str | None,
        *,
        status: DeliveryStatus | None = None,
        reader_id: UUID | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeliveryPage:
        """List deliveries, newest first, up to `limit` (1 to 100) a page.

        Raises `InvalidCursor` for a cursor that no page returned, and `SupabaseError`.
        """
        size = min(max(limit, 1), MAX_PAGE)
        before, before_id = decode_cursor(cursor) if cursor is not None else (None, None)
        parameters: dict[str, Any] = {
            "p_owner": owner,
            "p_status": status,
            "p_reader_id": str(reader_id) if reader_id else None,
            "p_before": before.isoformat() if before else None,
            "p_before_id": str(before_id) if before_id else None,
            "p_limit": size + 1,
        }
        with supabase_errors("list deliveries"):
            response = await self._client.rpc("list_deliveries", parameters).execute()
        found = parsed(_DELIVERIES, response.data)
        last = found[size - 1] if len(found) > size else None
        return DeliveryPage(tuple(found[:size]), encode_cursor(last.created_at, last.delivery_id) if last else None)

    async def resolve(self, delivery_id: UUID, status: ResolvedStatus, *, by: str) -> Delivery:
        """Resolve a delivery in doubt. `pending` sends it again.

        Raises `DeliveryNotFound`, `NotInDoubt` (it has another status), `SupabaseError`.
        """
        parameters = {"p_delivery_id": str(delivery_id), "p_status": status.value, **_audit_parameters(by)}
        with supabase_errors(f"resolve delivery {delivery_id}"):
            response = await self._client.rpc("resolve_for_operator", parameters).execute()
        found = parsed(_RESOLVED, response.data)
        if found is None:
            raise _no_delivery(delivery_id)
        if not found.resolved:
            raise NotInDoubt(f"The delivery {delivery_id} is {found.delivery.status} and cannot become {status}.")
        return found.delivery

    async def paused(self) -> str | None:
        """Return the reason why deliveries are paused; None: they are not. Raises `SupabaseError`."""
        with supabase_errors("check whether deliveries are paused"):
            response = await self._client.rpc("deliveries_paused").execute()
        return parsed(_REASON, response.data)

    async def pause(self, reason: str, *, by: str) -> None:
        """Pause deliveries: no delivery begins until `resume`. Raises `SupabaseError`."""
        await self._set_pause(f"{by}: {reason}", by=by, skip=False)

    async def resume(self, *, by: str, skip_pending: bool) -> None:
        """Resume deliveries. `skip_pending`: skip those that are pending now. Raises `SupabaseError`."""
        await self._set_pause(None, by=by, skip=skip_pending)

    async def _set_pause(self, reason: str | None, *, by: str, skip: bool) -> None:
        parameters = {"p_reason": _truncated(reason), "p_skip": skip, **_audit_parameters(by)}
        with supabase_errors("pause or resume deliveries"):
            response = await self._client.rpc("set_pause_for_operator", parameters).execute()
        parsed(VOID, response.data)


def _truncated(text: str | None) -> str | None:
    return None if text is None else clean_text(text)[:MAX_TEXT]


def _audit_parameters(by: str) -> dict[str, Any]:
    """Identify an operator's action for the audit. A retried request repeats the id, so the action counts once."""
    return {"p_audit_id": str(uuid4()), "p_actor": _truncated(by)}


def _no_delivery(delivery_id: UUID) -> DeliveryNotFound:
    return DeliveryNotFound(f"There is no delivery {delivery_id}: it was never created, or was removed.")
