"""`python -m tests.support.breaker_trial`: begins the trial of arXiv's circuit breaker, and does not end it."""

import asyncio
import os
import sys
from datetime import timedelta

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.persistence.circuit_breaker import BreakerSettings, CircuitBreakers

BEGUN = "trial begun"
SETTINGS = BreakerSettings(
    threshold=1, open_for=timedelta(minutes=5), trial_for=timedelta(minutes=1), refresh=timedelta(0)
)


async def main() -> None:
    settings = SupabaseSettings.model_validate(
        {"supabase_url": os.environ["SUPABASE_URL"], "supabase_key": os.environ["SUPABASE_KEY"]}
    )
    async with open_supabase(settings) as client, CircuitBreakers(client, SETTINGS).guard("arxiv"):
        sys.stderr.write(f"{BEGUN}\n")
        sys.stderr.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
