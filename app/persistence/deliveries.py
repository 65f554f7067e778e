"""Deliveries: what became of the mail for a reader's day, at most one of which is ever sent."""

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
from app.persistence.paging import cursor_of, read_cursor

MAX_PAGE = 100

DeliveryKind = Literal["digest", "welcome"]


class DeliveryStatus(StrEnum):
    """Where a delivery stands; `in_doubt`: nobody can know whether it was sent."""

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
    """A row of `deliveries`. `begun_at`: when it was first attempted, and may have been sent."""

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
    """What a delivery's mail is made of: the same each time until it is known that nothing was sent."""

    delivery_id: UUID
    reader_id: UUID
    kind: DeliveryKind
    local_day: date
    created_at: datetime
    name: str
    email: str
    link_generation: int
    digest: StoredDigest | None = None
    """None for a welcome, or where the digest was removed."""


class Send(Frozen):
    """The mail is this lease's to send, and nobody else's; it is to say what became of it."""

    verdict: Literal["send"]
    mail: MailParts
    begun_before: bool
    """Whether an earlier attempt may have sent it."""


class SkipDelivery(Frozen):
    """The delivery has ended: there is nothing to send."""

    verdict: Literal["stop"]
    status: DeliveryStatus
    reason: str | None = None


class Paused(Frozen):
    """Nothing is sent for now."""

    verdict: Literal["paused"]
    reason: str


class Lost(Frozen):
    """The lease is not, or no longer, what it takes to send this."""

    verdict: Literal["lost"]


Verdict = Send | SkipDelivery | Paused | Lost


class _Resolved(Frozen):
    resolved: bool
    delivery: Delivery


@dataclass(frozen=True)
class DeliveryPage:
    """Deliveries, newest first, and the cursor of the next page (None: this was the last)."""

    deliveries: tuple[Delivery, ...]
    next_cursor: str | None


_DELIVERIES = TypeAdapter(list[Delivery])
_VERDICT = TypeAdapter[Verdict](Annotated[Verdict, Field(discriminator="verdict")])
_SETTLED = TypeAdapter(_Resolved | None)
_FLAG = TypeAdapter(bool)
_COUNT = TypeAdapter(int)
_REASON = TypeAdapter(str | None)


class Deliveries:
    """The status of deliveries. They are made by the end of their digest, in the same transaction."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def begin(
        self, delivery_id: UUID, lease: Lease, *, repeatable_within: timedelta | None, sender_id: str
    ) -> Verdict:
        """Ask to send a delivery under the lease of its task; asked again, the same lease gets the same answer.

        A delivery whose sender was lost while sending is `in_doubt` from now on; with `repeatable_within` (how long a
        provider takes the same key for the same mail) it is given to this lease instead, if `sender_id` is the account
        that began it. Raises `SupabaseError`.
        """
        parameters = {
            "p_delivery_id": str(delivery_id),
            "p_token": str(lease.lease_token),
            "p_repeatable_seconds": repeatable_within.total_seconds() if repeatable_within is not None else None,
            "p_sender_id": sender_id,
        }
        with supabase_errors(f"begin to send delivery {delivery_id}"):
            answer = await self._client.rpc("begin_sending", parameters).execute()
        return parsed(_VERDICT, answer.data)

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
        """Say what became of a sending that `begin` gave to this lease; `pending`: surely nothing was sent.

        `sending`: this attempt did not decide it (`reason` says why), and another one under the same key will.
        `bounce`: the address does not exist, so the reader's mail stops. False: it is not this lease's to say (any
        more). Raises `SupabaseError`.
        """
        parameters = {
            "p_delivery_id": str(delivery_id),
            "p_token": str(lease.lease_token),
            "p_status": status.value,
            "p_reason": _cut(reason),
            "p_provider_id": _cut(provider_id),
            "p_bounce": bounce,
        }
        with supabase_errors(f"end delivery {delivery_id}"):
            answer = await self._client.rpc("finish_sending", parameters).execute()
        return parsed(_FLAG, answer.data)

    async def record_bounce(self, addresses: Sequence[str], reason: str, *, complaint: bool) -> int:
        """SkipDelivery the mail of all readers at an address, given in its spellings.

        They are `bounced`, or after a complaint `unsubscribed`. Answers how many it stopped: none when it
        comes again. Raises `SupabaseError`.
        """
        parameters = {
            "p_addresses": [clean_text(each) for each in addresses],
            "p_complaint": complaint,
            "p_reason": _cut(reason),
        }
        with supabase_errors("record a bounce"):
            answer = await self._client.rpc("record_bounce", parameters).execute()
        return parsed(_COUNT, answer.data)

    async def get(self, delivery_id: UUID, owner: str | None = None) -> Delivery:
        """Read a delivery. Raises `DeliveryNotFound`, also for another owner's, and `SupabaseError`."""
        query = self._client.table("deliveries").select(",".join(Delivery.model_fields))
        query = query.eq("delivery_id", str(delivery_id))
        if owner is not None:
            query = query.eq("owner", owner)
        with supabase_errors(f"read delivery {delivery_id}"):
            answer = await query.limit(1).execute()
        found = parsed(_DELIVERIES, answer.data)
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

        Raises `InvalidCursor` for a cursor that no page gave, and `SupabaseError`.
        """
        size = min(max(limit, 1), MAX_PAGE)
        before, before_id = read_cursor(cursor) if cursor is not None else (None, None)
        parameters: dict[str, Any] = {
            "p_owner": owner,
            "p_status": status,
            "p_reader_id": str(reader_id) if reader_id else None,
            "p_before": before.isoformat() if before else None,
            "p_before_id": str(before_id) if before_id else None,
            "p_limit": size + 1,
        }
        with supabase_errors("list deliveries"):
            answer = await self._client.rpc("list_deliveries", parameters).execute()
        found = parsed(_DELIVERIES, answer.data)
        last = found[size - 1] if len(found) > size else None
        return DeliveryPage(tuple(found[:size]), cursor_of(last.created_at, last.delivery_id) if last else None)

    async def resolve(self, delivery_id: UUID, status: ResolvedStatus, *, by: str) -> Delivery:
        """Say of a delivery in doubt what became of it, or have one sent that was not (`pending`).

        Raises `DeliveryNotFound`, `NotInDoubt` (it is in another status), `SupabaseError`.
        """
        parameters = {"p_delivery_id": str(delivery_id), "p_status": status.value, **_act(by)}
        with supabase_errors(f"resolve delivery {delivery_id}"):
            answer = await self._client.rpc("resolve_for_operator", parameters).execute()
        found = parsed(_SETTLED, answer.data)
        if found is None:
            raise _no_delivery(delivery_id)
        if not found.resolved:
            raise NotInDoubt(f"The delivery {delivery_id} is {found.delivery.status}: it cannot become {status}.")
        return found.delivery

    async def paused(self) -> str | None:
        """Why no delivery begins now, such as a restored backup; None: they do. Raises `SupabaseError`."""
        with supabase_errors("ask whether deliveries are paused"):
            answer = await self._client.rpc("deliveries_paused").execute()
        return parsed(_REASON, answer.data)

    async def pause(self, reason: str, *, by: str) -> None:
        """Begin no delivery any more. Raises `SupabaseError`."""
        await self._set_pause(f"{by}: {reason}", by=by, skip=False)

    async def resume(self, *, by: str, skip_pending: bool) -> None:
        """Let deliveries begin again; `skip_pending`: without those that wait now. Raises `SupabaseError`."""
        await self._set_pause(None, by=by, skip=skip_pending)

    async def _set_pause(self, reason: str | None, *, by: str, skip: bool) -> None:
        parameters = {"p_reason": _cut(reason), "p_skip": skip, **_act(by)}
        with supabase_errors("pause or resume deliveries"):
            answer = await self._client.rpc("set_pause_for_operator", parameters).execute()
        parsed(VOID, answer.data)


def _cut(text: str | None) -> str | None:
    return None if text is None else clean_text(text)[:MAX_TEXT]


def _act(by: str) -> dict[str, Any]:
    """A new act of an operator's, which the audit keeps if it changes something; sent again, it is the same one."""
    return {"p_act": str(uuid4()), "p_who": _cut(by)}


def _no_delivery(delivery_id: UUID) -> DeliveryNotFound:
    return DeliveryNotFound(f"There is no delivery {delivery_id}: it was never made, or was removed.")
