"""Which conditions hold, by what all processes see, and which callbacks must be sent about them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime

from app.models.values import Frozen
from app.persistence.errors import VOID
from app.persistence.json_values import clean
from app.persistence.repository import Repository


class ConditionCallback(Frozen):
    """A callback to send: the condition began (`active`) or ended at `changed_at`. `event` is what was recorded."""

    name: str
    active: bool
    changed_at: AwareDatetime
    callback_id: UUID
    event: dict[str, Any]


class ConditionStates(Repository):
    """Stores the states. All methods raise `SupabaseError`."""

    async def update(self, call: UUID, active: Sequence[Mapping[str, Any]]) -> list[ConditionCallback]:
        """Record the conditions that this process sees, each a mapping with a `name`; return the callbacks to send now.

        A repeated `call` returns the same. An unconfirmed callback is returned to any call after at least 90 seconds.
        """
        action, states = "record the conditions", clean(list(active))
        return await self._call("update_conditions", action, list[ConditionCallback], p_call=call, p_active=states)

    async def confirm(self, callback: ConditionCallback) -> None:
        """Record that a callback was delivered."""
        await self._call(
            "confirm_condition_callback",
            "confirm a callback about a condition",
            VOID,
            p_name=callback.name,
            p_callback_id=callback.callback_id,
        )
