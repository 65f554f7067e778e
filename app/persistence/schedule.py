"""The schedule: who is due gets one digest task for one of the reader's own days."""

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.persistence.errors import parsed, supabase_errors

BATCH = 2500
"""Readers a call: a fraction of the 8 s that Supabase gives a statement."""

_NUMBER = TypeAdapter(int)


class Schedule:
    """Looks who is due, by the database's clock and zones. Anybody may, at any time, at once."""

    def __init__(self, client: AsyncClient, *, batch: int = BATCH) -> None:
        self._client = client
        self._batch = batch

    async def enqueue_due(self) -> int:
        """Give everybody who is due their digest task, batch after batch; answers how many readers it was.

        Raises `SupabaseError`; what was done until then stays done.
        """
        due = 0
        while True:
            with supabase_errors("enqueue the digests that are due"):
                answer = await self._client.rpc("enqueue_due", {"p_limit": self._batch}).execute()
            number = parsed(_NUMBER, answer.data)
            due += number
            if number < self._batch:
                return due
