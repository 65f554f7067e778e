"""`python -m embedded.commands.up`: everything running in one terminal until Ctrl-C. Run by `make up`."""

import argparse
import asyncio
import signal
import sys
from datetime import date

import asyncpg
import httpx
from rich.console import Console
from rich.markup import escape

from app.days import yesterday
from embedded.commands.children import ROOT, ChildFailed
from embedded.commands.digest import read_profile
from embedded.commands.newcomer import newcomer
from embedded.commands.together import Together, sources_answer, together
from embedded.postgres.programs import PostgresError
from scripts.migrate import MigrationError

EXAMPLE = ROOT / "profiles" / "example.toml"
COLOURS = {"api": "cyan", "worker": "magenta"}

CURL = """curl -s -X POST {api}/v1/digests -H 'X-API-Key: {key}' -H 'Content-Type: application/json' \\
    -d '{{"profile": {{"name": "Ada", "interests": ["graph neural networks"]}}}}'"""


async def up(console: Console, *, api_port: int, stack_port: int, offline: bool) -> None:
    """Run everything, show where it is, and its logs, until Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
    live = not offline and await sources_answer()
    day = yesterday()

    def show(name: str, line: str) -> None:
        console.print(f"[{COLOURS[name]}]{name:<6}[/] {escape(line)}", highlight=False, soft_wrap=True)

    async with together(day, show, live=live, ports={"api": api_port, "stack": stack_port}) as services:
        _announce(console, services)
        mailing = asyncio.create_task(_show_mail(console, services, day))
        while not stop.is_set():
            for process in services.children:
                process.require_alive()
            try:
                async with asyncio.timeout(0.5):
                    await stop.wait()
            except TimeoutError:
                continue
        mailing.cancel()
        console.print("stopping")


async def _show_mail(console: Console, services: Together, day: date) -> None:
    """Say where the first reader's first mail and page are, or why there is none."""
    try:
        reader = await newcomer(services, day, read_profile(EXAMPLE))
    except (httpx.HTTPError, asyncpg.PostgresError, MigrationError, OSError) as error:
        console.print(f"no mail came: {type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return
    mail = "the next mails come each day" if reader.mail is None else f"the first mail: {reader.mail}"
    for said in (f"{mail} (a folder for mails: {services.mailbox})", f"a reader's page: {reader.page}"):
        console.print(said, highlight=False, markup=False, soft_wrap=True)


def _announce(console: Console, services: Together) -> None:
    sources = "the bundled sample edition (arXiv cannot be reached)" if services.sample else "arXiv and the feeds"
    lines = [
        f"API       {services.api}  (documentation: {services.api}/docs)",
        f"API key   {services.api_key}",
        f"operators {services.api}/ops  (the API key opens it)",
        f"Supabase  {services.stack.url}  (stand-in)",
        f"database  {services.stack.database_url}",
        f"sources   {sources}",
        f"mailbox   {services.mailbox}  (the first digest comes within the minute; any mail program opens it)",
        "",
        CURL.format(api=services.api, key=services.api_key),
        "",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """Run until Ctrl-C; 1 with the reason if something ends by itself."""
    parser = argparse.ArgumentParser(prog="make up", description="Run stack, API and worker in one terminal.")
    parser.add_argument("--port", type=int, default=8000, help="the API's port")
    parser.add_argument("--stack-port", type=int, default=54321, help="the stand-in's port")
    parser.add_argument("--offline", action="store_true", help="use the sample edition without asking arXiv")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        asyncio.run(up(console, api_port=options.port, stack_port=options.stack_port, offline=options.offline))
    except (ChildFailed, PostgresError, OSError) as error:
        console.print(f"[red]stopped:[/red] {escape(str(error))}", soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
