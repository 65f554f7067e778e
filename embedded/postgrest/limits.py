"""Where a real project's PostgREST stops: how much it takes and gives, and how long it waits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GatewayLimits:
    """Sizes in bytes, times in seconds; the row limit and the rule on writes are those of a new Supabase project."""

    query: int = 65_536
    body: int = 20_000_000
    body_within: float = 60.0
    pool_within: float = 10.0
    reload_after: float = 0.2
    """From a change of the schema to the requests that see it."""
    max_rows: int = 1000
    """PostgREST's db-max-rows: what a read or a function answers with at most. Writes answer with all they changed."""
    safe_update: bool = True
    """Whether an update or delete without a condition is refused, as pg-safeupdate does."""
