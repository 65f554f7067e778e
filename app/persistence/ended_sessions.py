"""Operators' sessions that ended early (sign-out), shared by all processes."""

from datetime import timedelta

from app.persistence.cache import ENTRY
from app.persistence.errors import VOID
from app.persistence.repository import Repository


class EndedSessions(Repository):
    """Stores the ids of ended sessions as cache entries, which expire automatically.

    A running session has no row: signing in writes nothing, so a late repetition cannot revive an ended session.
    """

    async def end(self, session_id: str, *, ttl: timedelta) -> None:
        """End the session. `ttl`: the time until it would expire anyway.

        Raises `SupabaseError`: the session then counts as not ended.
        """
        await self._call(
            "cache_put", "end a session", VOID, p_key=_key(session_id), p_value=True, p_ttl_seconds=ttl.total_seconds()
        )

    async def has_ended(self, session_id: str) -> bool:
        """Whether the session was ended. Raises `SupabaseError`: the caller then rejects the session."""
        return (
            await self._call("cache_get", "check whether a session was ended", ENTRY, p_key=_key(session_id))
            is not None
        )


def _key(session_id: str) -> str:
    return f"ops-session-ended:{session_id}"
