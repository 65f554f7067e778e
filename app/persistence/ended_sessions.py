"""Operators' sessions that were ended before their time, for all processes to know."""

from datetime import timedelta

from supabase import AsyncClient

from app.persistence.cache import ENTRY
from app.persistence.errors import VOID, parsed, supabase_errors


class EndedSessions:
    """Keeps the ids of ended sessions among the cache's entries, which go by themselves when they have expired.

    A session that nobody ended is in no row: beginning one writes nothing, so no late repetition can begin one anew.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def end(self, session_id: str, *, lasting: timedelta) -> None:
        """From now on the session has ended; remembered for `lasting`, until it would have anyway.

        Raises `SupabaseError`: then it has not ended, as far as is known.
        """
        parameters = {"p_key": _key(session_id), "p_value": True, "p_ttl_seconds": lasting.total_seconds()}
        with supabase_errors("end a session"):
            answer = await self._client.rpc("cache_put", parameters).execute()
        parsed(VOID, answer.data)

    async def holds(self, session_id: str) -> bool:
        """Whether the session was ended. Raises `SupabaseError`: then nobody knows, and it does not count."""
        with supabase_errors("ask whether a session was ended"):
            answer = await self._client.rpc("cache_get", {"p_key": _key(session_id)}).execute()
        return parsed(ENTRY, answer.data) is not None


def _key(session_id: str) -> str:
    return f"ops-session-ended:{session_id}"
