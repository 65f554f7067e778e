"""A rate limit for requests to an external service, shared by all processes."""

from uuid import UUID

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.persistence.errors import VOID, parsed, supabase_errors

_SECONDS = TypeAdapter(float)


class DistributedRateLimiter:
    """Grants one permit at a time for each name. The database's clock decides when the next one is available."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def acquire(self, name: str, token: UUID, *, interval: float, hold: float) -> float:
        """Acquire the permit and return 0, or return the seconds after which to try again with the same `token`.

        The next permit is available `interval` seconds after this one was acquired, and not before it was released or
        has expired after `hold` seconds. Raises `SupabaseError`.
        """
        parameters = {
            "p_name": name,
            "p_token": str(token),
            "p_interval_seconds": interval,
            "p_hold_seconds": hold,
        }
        with supabase_errors(f"acquire a permit for {name}"):
            response = await self._client.rpc("acquire_permit", parameters).execute()
        return parsed(_SECONDS, response.data)

    async def release(self, name: str, token: UUID, *, pause: float) -> None:
        """Release the permit of `token`; the next one is available after `pause` seconds. Raises `SupabaseError`."""
        parameters = {"p_name": name, "p_token": str(token), "p_pause_seconds": pause}
        with supabase_errors(f"release the permit for {name}"):
            response = await self._client.rpc("release_permit", parameters).execute()
        parsed(VOID, response.data)
