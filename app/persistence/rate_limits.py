"""A rate limit for requests to an external service, shared by all processes."""

from uuid import UUID

from app.persistence.errors import VOID
from app.persistence.repository import Repository


class DistributedRateLimiter(Repository):
    """Grants one permit at a time for each name. The database's clock decides when the next one is available."""

    async def acquire(self, name: str, token: UUID, *, interval: float, hold: float) -> float:
        """Acquire the permit and return 0, or return the seconds after which to try again with the same `token`.

        The next permit is available `interval` seconds after this one was acquired, and not before it was released or
        has expired after `hold` seconds. Raises `SupabaseError`.
        """
        return await self._call(
            "acquire_permit",
            f"acquire a permit for {name}",
            float,
            p_name=name,
            p_token=token,
            p_interval_seconds=interval,
            p_hold_seconds=hold,
        )

    async def release(self, name: str, token: UUID, *, pause: float) -> None:
        """Release the permit of `token`; the next one is available after `pause` seconds. Raises `SupabaseError`."""
        await self._call(
            "release_permit", f"release the permit for {name}", VOID, p_name=name, p_token=token, p_pause_seconds=pause
        )
