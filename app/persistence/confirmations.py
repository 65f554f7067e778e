"""Confirmation of readers' e-mail addresses: until then, a reader gets nothing but one mail."""

from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import TypeAdapter

from app.errors import ConfirmationLimitReached, NotUnconfirmed
from app.models.values import Frozen
from app.persistence.readers import ReaderStatus, reader_not_found
from app.persistence.repository import Repository

ConfirmOutcome = Literal["confirmed", "known", "invalid"]
"""`known`: another reader has the address of this sign-up; `invalid`: the link is too old or was revoked."""


class _Resent(Frozen):
    outcome: Literal["requested", "confirmed", "limited"]
    status: ReaderStatus = ReaderStatus.UNCONFIRMED
    retry_after: float = 0


_OUTCOME: TypeAdapter[ConfirmOutcome] = TypeAdapter(ConfirmOutcome)
_RESENT: TypeAdapter[_Resent | None] = TypeAdapter(_Resent | None)


class Confirmations(Repository):
    """Confirms addresses, and requests confirmation mails again."""

    async def confirm(self, reader_id: UUID, generation: int, day: date) -> ConfirmOutcome:
        """Confirm the address through a link of this generation and day. A repetition changes nothing.

        Raises `SupabaseError`.
        """
        action = f"confirm the address of reader {reader_id}"
        return await self._call(
            "confirm_reader", action, _OUTCOME, p_reader_id=reader_id, p_generation=generation, p_day=day
        )

    async def resend(self, reader_id: UUID, owner: str | None = None) -> None:
        """Request another confirmation mail. A repetition changes nothing while the mail is pending.

        Raises `ReaderNotFound`, also for another owner's, `NotUnconfirmed`, `ConfirmationLimitReached`,
        `SupabaseError`.
        """
        action = f"request a confirmation of reader {reader_id}"
        resent = await self._call("resend_confirmation", action, _RESENT, p_reader_id=reader_id, p_owner=owner)
        if resent is None:
            raise reader_not_found(reader_id)
        match resent.outcome:
            case "requested":
                return
            case "confirmed":
                raise NotUnconfirmed(f"The reader is {resent.status.value}: only an unconfirmed one can confirm.")
            case "limited":
                raise ConfirmationLimitReached(
                    "The address has got a confirmation mail within a day, or three within 30 days.",
                    retry_after=resent.retry_after,
                )
