"""`python -m embedded serve` (`make supabase`): runs the emulator until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

import asyncpg
import uvloop

from embedded.commands.ports import port
from embedded.loopback import free_or_other
from embedded.postgres.programs import PostgresError
from embedded.postgrest.limits import GatewayLimits
from embedded.stack import Stack, StackOptions
from scripts.migrate import MIGRATIONS, ROOT, MigrationError

PORT = 54321
"""The default port; `supabase start` uses it too."""


def parse(arguments: list[str] | None) -> StackOptions:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m embedded", description="An emulator of a Supabase project.")
    serving = parser.add_subparsers(required=True).add_parser(
        "serve", help="run PostgreSQL and the gateway until Ctrl-C or SIGTERM"
    )
    serving.add_argument("--data", type=Path, default=ROOT / ".local" / "supabase", help="the folder of the database")
    serving.add_argument(
        "--port",
        type=port,
        help=f"the gateway's port, 0 for a free one (default: {PORT}, or a free one if that is taken)",
    )
    serving.add_argument("--migrations", type=Path, default=MIGRATIONS, help="a folder of SQL files")
    serving.add_argument(
        "--binaries", type=Path, help="the folder of PostgreSQL's programs, instead of the bundled ones"
    )
    serving.add_argument("--jwt-secret", help="sign keys with this secret instead of the folder's secret")
    serving.add_argument(
        "--max-rows", type=_rows, default=GatewayLimits.max_rows, help="the most rows that a read returns"
    )
    serving.add_argument(
        "--no-durable", action="store_true", help="faster, but a crash of the machine can lose data (for tests)"
    )
    chosen = parser.parse_args(arguments)
    return StackOptions(
        data=chosen.data.resolve(),
        port=free_or_other(PORT) if chosen.port is None else chosen.port,
        migrations=chosen.migrations,
        jwt_secret=chosen.jwt_secret,
        binaries=chosen.binaries,
        durable=not chosen.no_durable,
        limits=GatewayLimits(max_rows=chosen.max_rows),
    )


async def serve(options: StackOptions) -> None:
    """Run until SIGTERM or Ctrl-C; prints one JSON line when ready. Raises `PostgresError` if the database ends."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stack = Stack(options)
    ready = await stack.start()
    print(json.dumps(ready.as_dict()), flush=True)
    ended = {asyncio.create_task(stop.wait()), asyncio.create_task(stack.server.ended())}
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        task.cancel()
    await stack.stop()
    if not stop.is_set():
        raise PostgresError(f"PostgreSQL stopped unexpectedly: see {options.data / 'postgres.log'}, then start again")


def main(arguments: list[str] | None = None) -> int:
    """Serve; on failure print the reason to standard error and return 1."""
    try:
        uvloop.run(serve(parse(arguments)))
    except (PostgresError, MigrationError, OSError, asyncpg.PostgresError) as error:
        print(f"embedded: {error}", file=sys.stderr)
        return 1
    return 0


def _rows(text: str) -> int:
    rows = int(text)
    if rows < 1:
        raise argparse.ArgumentTypeError(f"{rows} is too few: use 1 or more")
    return rows
