"""Serve the sample edition until interrupted: `python -m embedded.sample --date 2025-03-04`."""

import argparse
import asyncio
import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime

from embedded.sample.server import serve_sample


async def main() -> None:
    """Print the addresses as one line of JSON, and serve."""
    parser = argparse.ArgumentParser(description="Serve the sample edition on loopback.")
    parser.add_argument("--date", type=date.fromisoformat, default=datetime.now(UTC).date(), help="the day of the news")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on, or 0 for any free one")
    options = parser.parse_args()
    async with serve_sample(options.date, port=options.port) as hosts:
        print(json.dumps(asdict(hosts)), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
