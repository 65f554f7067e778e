"""Which conditions hold, by what all processes see, and which callbacks must be sent about them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, TypeAdapter
from supabase import AsyncClient

from app.models.values import Frozen
from app.persistence.errors import VOID, parsed, supabase_errors
from app.persistence.json_values import clean


class ConditionCallback(Frozen):
    """A callback to send: the condition began (`active`) or ended at `changed_at`. `event` is what was recorded."""

    name: str
    active: bool
    changed_at: AwareDatetime
    callback_id: UUID
    event: dict[str, Any]


_CALLBACKS = TypeAdapter(list[ConditionCallback])


class ConditionStates:
    """Stores the states. All methods raise `SupabaseError`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def update(self, call: UUID, active: Sequence[Mapping[str, Any]]) -> list[ConditionCallback]:
        """Record the conditions that this process sees, each a mapping with a `name`; return the callbacks to send now.

        A repeated `call` returns the same. An unconfirmed callback is returned to any call after at least 90 seconds.
        """
        parameters = {"p_call": str(call), "p_active": clean(list(active))}
        with supabase_errors("record the conditions"):
            response = await self._client.rpc("update_conditions", parameters).execute()
        return parsed(_CALLBACKS, response.data)

    async def confirm(self, callback: ConditionCallback) -> None:
        """Record that a callback was delivered."""
        parameters = {"p_name": callback.name, "p_callback_id": str(callback.callback_id)}
        with supabase_errors("confirm a callback about a condition"):
            response = await self._client.rpc("confirm_condition_callback", parameters).execute()
        parsed(VOID, response.data)
