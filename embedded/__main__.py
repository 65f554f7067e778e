"""`python -m embedded serve` runs the stand-in until Ctrl-C or SIGTERM; `migrate` brings any database up to date."""

import argparse
import asyncio
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import asyncpg
import uvloop

from embedded.migrations import MigrationError, migrate
from embedded.programs import PostgresError
from embedded.stack import Stack, StackOptions

ROOT = Path(__file__).resolve().parent.parent
MIGRATIONS = ROOT / "supabase" / "migrations"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m embedded", description="A stand-in for a Supabase project.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve_options = commands.add_parser("serve", help="run PostgreSQL and the gateway until Ctrl-C or SIGTERM")
    serve_options.add_argument("--data", type=Path, default=ROOT / ".local" / "supabase", help="where the data lives")
    serve_options.add_argument("--port", type=int, default=54321, help="the gateway's port; 0 takes a free one")
    serve_options.add_argument("--migrations", type=Path, default=MIGRATIONS, help="a folder of SQL files")
    serve_options.add_argument("--binaries", type=Path, help="PostgreSQL's programs, instead of the bundled ones")
    serve_options.add_argument("--jwt-secret", help="sign keys with this secret instead of the folder's own")
    serve_options.add_argument(
        "--no-durable", action="store_true", help="faster, but a crash of the machine may lose data (for tests)"
    )
    migrate_options = commands.add_parser("migrate", help="apply migrations to a database")
    migrate_options.add_argument("--database-url", required=True, help="postgresql://user:password@host:port/database")
    migrate_options.add_argument("--migrations", type=Path, default=MIGRATIONS, help="a folder of SQL files")
    return parser.parse_args(arguments)


async def serve(options: StackOptions) -> None:
    """Run until SIGTERM or Ctrl-C; prints one JSON line when ready. Raises `PostgresError` if the database ends."""
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
    stack = Stack(options)
    ready = await stack.start()
    print(json.dumps(ready.as_dict()), flush=True)
    ended = {asyncio.create_task(stop.wait()), asyncio.create_task(stack.server.ended())}
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        task.cancel()
    await stack.stop()
    if not stop.is_set():
        raise PostgresError(f"PostgreSQL ended by itself: see {options.data / 'postgres.log'}, then start again")


async def apply_migrations(database_url: str, folder: Path) -> None:
    """Apply what is new and say so."""
    connection = await asyncpg.connect(database_url)
    try:
        fresh = await migrate(connection, folder)
    finally:
        await connection.close()
    for migration in fresh:
        print(f"applied {migration.version}_{migration.name}")
    print(f"{len(fresh)} applied; the schema is up to date")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 1 with the reason on standard error if it cannot."""
    options = parse(arguments)
    try:
        if options.command == "migrate":
            uvloop.run(apply_migrations(options.database_url, options.migrations))
        else:
            chosen = StackOptions(options.data.resolve(), options.port, options.migrations, options.jwt_secret)
            chosen = replace(chosen, durable=not options.no_durable, binaries=options.binaries)
            uvloop.run(serve(chosen))
    except (PostgresError, MigrationError, OSError, asyncpg.PostgresError) as error:
        print(f"embedded: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
