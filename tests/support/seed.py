"""`supabase/seed.sql`: the sample data of local stacks and preview branches."""

from datetime import date
from pathlib import Path

import asyncpg

SEED = (Path(__file__).parents[2] / "supabase" / "seed.sql").read_text(encoding="utf-8")
DAY = date(2026, 1, 5)
"""The day of its edition."""


async def apply_seed(database: asyncpg.Connection) -> None:
    """Run the file as the Supabase CLI does."""
    await database.execute(SEED)
