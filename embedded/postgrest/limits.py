"""The limits of a real project's PostgREST: sizes of requests and responses, and timeouts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GatewayLimits:
    """Sizes in bytes, times in seconds; the row limit and the rule on writes are those of a new Supabase project."""

    query: int = 65_536
    body: int = 20_000_000
    body_within: float = 60.0
    pool_within: float = 10.0
    reload_after: float = 0.2
    """Delay between a change of the schema and the reload of the schema cache."""
    max_rows: int = 1000
    """PostgREST's db-max-rows: the most rows that a read or a function returns. Writes return all changed rows."""
    safe_update: bool = True
    """Whether to reject an update or delete without a condition, as pg-safeupdate does."""
