"""`python -m tests.support.arxiv_process URL SECONDS_BETWEEN_REQUESTS`: fetches a day from arXiv as a worker does.

It prints `RESULT` and the number of papers to standard error.
"""

import asyncio
import os
import sys
from datetime import date

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.errors import SourceBusy
from app.external.client import open_external
from app.persistence.rate_limits import DistributedRateLimiter
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.rate_limiter import RateLimiter

RESULT = "fetched: "


async def main(base_url: str, interval: float) -> None:
    settings = SupabaseSettings.model_validate(
        {"supabase_url": os.environ["SUPABASE_URL"], "supabase_key": os.environ["SUPABASE_KEY"]}
    )
    async with open_supabase(settings) as client, open_external() as http:
        limiter = RateLimiter(interval, permits=DistributedRateLimiter(client))
        fetcher = HttpFetcher(http, FetchSettings("Broadsheet tests"))
        source = ArxivSource(fetcher, ArxivSettings(base_url=base_url, page_size=2), limiter)
        try:
            output = str(len(await source.fetch(date(2025, 3, 4))))
        except SourceBusy as busy:
            output = f"busy {busy.retry_after:.0f}"
    sys.stderr.write(f"{RESULT}{output}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
