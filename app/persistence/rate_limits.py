"""Turns at an outside service that wants to be asked slowly, for all processes local_service."""

from uuid import UUID

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.persistence.errors import VOID, parsed, supabase_errors

_SECONDS = TypeAdapter(float)


class DistributedRateLimiter:
    """One turn at a time by name; the database's clock decides when the next one comes."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def take(self, name: str, token: UUID, *, interval: float, hold: float) -> float:
        """Take the turn and return 0, or return the seconds until it is worth asking again, with the same `token`.

        The next turn comes `interval` seconds after this one began, and not before it was ended, or lasted for `hold`
        seconds because its holder is gone. Raises `SupabaseError`.
        """
        parameters = {
            "p_name": name,
            "p_token": str(token),
            "p_interval_seconds": interval,
            "p_hold_seconds": hold,
        }
        with supabase_errors(f"take a turn at {name}"):
            answer = await self._client.rpc("acquire_permit", parameters).execute()
        return parsed(_SECONDS, answer.data)

    async def end(self, name: str, token: UUID, *, pause: float) -> None:
        """End the turn that `token` took; nobody gets the next one within `pause` seconds. Raises `SupabaseError`."""
        parameters = {"p_name": name, "p_token": str(token), "p_pause_seconds": pause}
        with supabase_errors(f"end a turn at {name}"):
            answer = await self._client.rpc("release_permit", parameters).execute()
        parsed(VOID, answer.data)
