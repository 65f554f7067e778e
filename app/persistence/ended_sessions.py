"""Operators' sessions that ended early (sign-out), shared by all processes."""

from datetime import timedelta

from supabase import AsyncClient

from app.persistence.cache import ENTRY
from app.persistence.errors import VOID, parsed, supabase_errors


class EndedSessions:
    """Stores the ids of ended sessions as cache entries, which expire automatically.

    A running session has no row: signing in writes nothing, so a late repetition cannot revive an ended session.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def end(self, session_id: str, *, ttl: timedelta) -> None:
        """End the session. `ttl`: the time until it would expire anyway.

        Raises `SupabaseError`: the session then counts as not ended.
        """
        parameters = {"p_key": _key(session_id), "p_value": True, "p_ttl_seconds": ttl.total_seconds()}
        with supabase_errors("end a session"):
            response = await self._client.rpc("cache_put", parameters).execute()
        parsed(VOID, response.data)

    async def has_ended(self, session_id: str) -> bool:
        """Whether the session was ended. Raises `SupabaseError`: the caller then rejects the session."""
        with supabase_errors("check whether a session was ended"):
            response = await self._client.rpc("cache_get", {"p_key": _key(session_id)}).execute()
        return parsed(ENTRY, response.data) is not None


def _key(session_id: str) -> str:
    return f"ops-session-ended:{session_id}"
