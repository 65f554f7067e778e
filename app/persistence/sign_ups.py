"""Sign-ups: strangers create unconfirmed readers through the sign-up page, within limits that all processes share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.errors import InvalidReader, SignUpLimitReached, SupabaseRejected
from app.models.values import Frozen
from app.persistence.json_values import clean
from app.persistence.readers import CHECK_VIOLATION
from app.persistence.repository import Repository


@dataclass(frozen=True, slots=True)
class SignUpLimits:
    """How many sign-ups are accepted in an hour: of all networks, and of each."""

    per_hour: int
    per_network: int


class SignUpFigures(Frozen):
    """The sign-ups of the last hour, the most of one network, and the confirmation mails of the last 24 hours."""

    last_hour: int
    busiest_network: int
    mails_last_day: int


class SignUps(Repository):
    """Accepts sign-ups, and counts them."""

    async def accept(
        self, sign_up_id: UUID, owner: str, reader: Mapping[str, Any], network: str, limits: SignUpLimits
    ) -> None:
        """Create an unconfirmed reader of `owner` from the columns in `reader`, which include a new `reader_id`.

        The request, the response and the work are the same whether the address is known or not: a worker decides that
        before it sends the mail. A repetition with the same `sign_up_id` within an hour changes nothing. Raises
        `SignUpLimitReached`, `InvalidReader` (an unknown time zone), `SupabaseError`.
        """
        try:
            wait = await self._call(
                "sign_up",
                "accept a sign-up",
                float,
                p_sign_up_id=sign_up_id,
                p_owner=owner,
                p_reader=clean(dict(reader)),
                p_network=network,
                p_per_hour=limits.per_hour,
                p_per_network=limits.per_network,
            )
        except SupabaseRejected as error:
            if error.code == CHECK_VIOLATION:
                raise InvalidReader(str(error)) from error
            raise
        if wait > 0:
            raise SignUpLimitReached("Too many people sign up at the moment.", retry_after=wait)

    async def figures(self) -> SignUpFigures:
        """Read the figures for operators. Raises `SupabaseError`."""
        return await self._call("sign_up_figures", "read the figures of the sign-ups", SignUpFigures)
