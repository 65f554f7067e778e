"""Deliveries: the status of each mail to a reader. A reader's day has at most one, and it is sent at most once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

from pydantic import Field, TypeAdapter

from app.errors import DeliveryNotFound, NotInDoubt
from app.models.values import Frozen
from app.persistence.errors import VOID
from app.persistence.json_values import clean_text
from app.persistence.outcomes import MAX_TEXT, Lease
from app.persistence.paging import encode_cursor
from app.persistence.repository import Repository

SKIPPED: Final = 1000
"""The most deliveries that one call skips."""

DeliveryKind = Literal["digest", "welcome", "confirmation", "download_link", "delete_link"]


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
    digest: dict[str, Any] | None = None
    """The digest as JSON (`app.models.Digest`); None for other kinds of mail, or if the digest was removed."""


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


_DECISION = TypeAdapter[SendDecision](Annotated[SendDecision, Field(discriminator="verdict")])
_REASON = TypeAdapter(str | None)


class Deliveries(Repository):
    """Reads and changes deliveries. The transaction that completes a digest creates its delivery."""

    async def begin(
        self, delivery_id: UUID, lease: Lease, *, repeatable_within: timedelta | None, sender_id: str
    ) -> SendDecision:
        """Request to send a delivery under the lease of its task. A repeated call returns the same decision.

        A delivery whose sender was lost while sending becomes `in_doubt`. With `repeatable_within` (for how long the
        provider treats the same key as the same mail), this lease sends it again instead, if `sender_id` is the account
        that began it. Raises `SupabaseError`.
        """
        return await self._call(
            "begin_sending",
            f"begin to send delivery {delivery_id}",
            _DECISION,
            p_delivery_id=delivery_id,
            p_token=lease.lease_token,
            p_repeatable_seconds=repeatable_within.total_seconds() if repeatable_within is not None else None,
            p_sender_id=sender_id,
        )

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
        return await self._call(
            "finish_sending",
            f"end delivery {delivery_id}",
            bool,
            p_delivery_id=delivery_id,
            p_token=lease.lease_token,
            p_status=status.value,
            p_reason=_truncated(reason),
            p_provider_id=_truncated(provider_id),
            p_bounce=bounce,
        )

    async def record_bounce(self, addresses: Sequence[str], reason: str, *, complaint: bool) -> int:
        """Stop the mail of all readers at an e-mail address, given in all its spellings.

        Their status becomes `bounced`, or after a complaint `unsubscribed`. Returns how many readers it stopped; a
        repetition stops none. Raises `SupabaseError`.
        """
        return await self._call(
            "record_bounce",
            "record a bounce",
            int,
            p_addresses=[clean_text(each) for each in addresses],
            p_complaint=complaint,
            p_reason=_truncated(reason),
        )

    async def get(self, delivery_id: UUID, owner: str | None = None) -> Delivery:
        """Read a delivery. Raises `DeliveryNotFound`, also for another owner's, and `SupabaseError`."""
        columns = ",".join(Delivery.model_fields)
        query = self._client.table("deliveries").select(columns).eq("delivery_id", str(delivery_id))
        action = f"read delivery {delivery_id}"
        return await self._one(query, action, Delivery, _no_delivery(delivery_id), owner=owner)

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
        filters = {"p_owner": owner, "p_status": status, "p_reader_id": reader_id}
        page = await self._page("list_deliveries", "list deliveries", Delivery, _cursor, limit, cursor, **filters)
        return DeliveryPage(*page)

    async def resolve(self, delivery_id: UUID, status: ResolvedStatus, *, by: str) -> Delivery:
        """Resolve a delivery in doubt. `pending` sends it again.

        Raises `DeliveryNotFound`, `NotInDoubt` (it has another status), `SupabaseError`.
        """
        found = await self._found(
            "resolve_for_operator",
            f"resolve delivery {delivery_id}",
            _Resolved,
            _no_delivery(delivery_id),
            p_delivery_id=delivery_id,
            p_status=status.value,
            **_audit_parameters(by),
        )
        if not found.resolved:
            raise NotInDoubt(f"The delivery {delivery_id} is {found.delivery.status} and cannot become {status}.")
        return found.delivery

    async def paused(self) -> str | None:
        """Return the reason why deliveries are paused; None: they are not. Raises `SupabaseError`."""
        return await self._call("deliveries_paused", "check whether deliveries are paused", _REASON)

    async def pause(self, reason: str, *, by: str) -> None:
        """Pause deliveries: no delivery begins until `resume`. Raises `SupabaseError`."""
        await self._set_pause(f"{by}: {reason}", by=by)

    async def resume(self, *, by: str, skip_pending: bool) -> None:
        """Resume deliveries. `skip_pending`: first skip those that are pending. Raises `SupabaseError`.

        If it fails before the end, paused deliveries stay paused, and a repetition skips the rest.
        """
        operator, action = _audit_parameters(by), "skip pending deliveries"
        while skip_pending:
            skip_pending = await self._call("skip_deliveries_for_operator", action, bool, p_limit=SKIPPED, **operator)
        await self._set_pause(None, by=by)

    async def _set_pause(self, reason: str | None, *, by: str) -> None:
        action, operator = "pause or resume deliveries", _audit_parameters(by)
        await self._call("set_pause_for_operator", action, VOID, p_reason=_truncated(reason), **operator)


def _cursor(delivery: Delivery) -> str:
    return encode_cursor(delivery.created_at, delivery.delivery_id)


def _truncated(text: str | None) -> str | None:
    return None if text is None else clean_text(text)[:MAX_TEXT]


def _audit_parameters(by: str) -> dict[str, Any]:
    """Identify an operator's action for the audit. A retried request repeats the id, so the action counts once."""
    return {"p_audit_id": str(uuid4()), "p_actor": _truncated(by)}


def _no_delivery(delivery_id: UUID) -> DeliveryNotFound:
    return DeliveryNotFound(f"There is no delivery {delivery_id}: it was never created, or was removed.")
