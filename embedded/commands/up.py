"""`python -m embedded.commands.up` (`make up`): runs everything in one terminal until Ctrl-C."""

import asyncio
import os
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich.text import Text

from app.days import yesterday
from embedded.commands.child_processes import ROOT, until_one_ends
from embedded.commands.demo_reader import demo_reader
from embedded.commands.digest import FAILURES
from embedded.commands.local_service import LOCAL, LocalService, local_service, sources_reachable
from embedded.commands.ports import port
from embedded.commands.profiles import read_profile
from embedded.commands.stopping import run_until_signal
from embedded.commands.terminal import MakeParser, Terminal
from embedded.loopback import PortTaken, free_or_other, free_port, listen
from embedded.parent_death import end_with

API_PORT = 8000
EXAMPLE = ROOT / "profiles" / "example.toml"
COLOURS = {"api": "cyan", "worker": "magenta"}

CURL = """curl -s -X POST {api}/v1/digests -H 'X-API-Key: {key}' -H 'Content-Type: application/json' \\
    -d '{{"profile": {{"name": "Ada", "interests": ["graph neural networks"]}}}}'"""


@dataclass(frozen=True)
class Ports:
    """The ports of the API and the emulator. None: the default port, or a free one if another program uses it."""

    api: int | None
    stack: int | None

    def chosen(self) -> dict[str, int]:
        """The ports to listen on. Raises `PortTaken`, whose message names the variable of make."""
        stack = free_port() if self.stack is None else _require_free("STACK_PORT", self.stack)
        return {"api": free_or_other(API_PORT) if self.api is None else _require_free("PORT", self.api), "stack": stack}


def _require_free(variable: str, port: int) -> int:
    try:
        listen(port).close()
    except PortTaken:
        raise PortTaken(
            f"{variable} is {port}, but another program uses that port: choose another port, or omit {variable} to "
            "use a free one"
        ) from None
    return port


async def up(console: Terminal, *, ports: Ports, offline: bool, folder: Path) -> None:
    """Run everything, print the addresses and logs, until cancelled. Raises `ChildFailed` and others of `FAILURES`."""
    console.print("starting the database, the API and a worker; Ctrl-C stops them")
    live = not offline and await sources_reachable()
    day = yesterday()

    def show(name: str, line: str) -> None:
        console.print(Text(f"{name:<6} ", style=COLOURS[name]), line, sep="")

    async with local_service(day, show, live=live, ports=ports.chosen(), folder=folder) as services:
        _announce(console, services)
        mailing = asyncio.create_task(_show_mail(console, services, day))
        try:
            await until_one_ends(services.children)
        finally:
            mailing.cancel()


async def _show_mail(console: Terminal, services: LocalService, day: date) -> None:
    """Print the file of the demo reader's first mail and the URL of its page, or why there is none."""
    try:
        reader = await demo_reader(services, day, read_profile(EXAMPLE))
    except FAILURES as error:
        console.print(f"no mail arrived: {type(error).__name__}: {error}")
        return
    mail = "further mails arrive every day" if reader.mail is None else f"the first mail: {reader.mail}"
    for line in (f"{mail} (folder of all mails: {services.mailbox})", f"a reader's page: {reader.page}"):
        console.print(line)


def _announce(console: Terminal, services: LocalService) -> None:
    sources = "the bundled sample edition (arXiv cannot be reached)" if services.sample else "arXiv and the feeds"
    lines = [
        f"API       {services.api}  (documentation: {services.api}/docs)",
        f"API key   {services.api_key}",
        f"operators {services.api}/ops  (sign in with the API key)",
        f"Supabase  {services.stack.url}  (emulator)",
        f"database  {services.stack.database_url}",
        f"sources   {sources}",
        f"mailbox   {services.mailbox}  (the first digest arrives within a minute; any mail program opens it)",
        "",
        CURL.format(api=services.api, key=services.api_key),
        "",
    ]
    for line in lines:
        console.print(line)


def main(arguments: list[str] | None = None) -> int:
    """Run until Ctrl-C; if a process exits unexpectedly, print the reason and return 1."""
    parser = MakeParser(prog="make up", description="Run the emulator, API and worker in one terminal.")
    parser.add_argument(
        "--port", type=port, help=f"the API's port (default: {API_PORT}, or a free one if that is taken)"
    )
    parser.add_argument("--stack-port", type=port, help="the emulator's port (default: a free one)")
    parser.add_argument("--offline", action="store_true", help="use the sample edition without trying arXiv")
    parser.add_argument("--folder", type=Path, default=LOCAL, help="the folder of databases and mails")
    parser.add_argument("--end-with-parent", action="store_true", help="stop when the parent process ends")
    options = parser.parse_args(arguments)
    if options.end_with_parent:
        end_with(os.getppid())
    console = Terminal()
    running = up(console, ports=Ports(options.port, options.stack_port), offline=options.offline, folder=options.folder)
    try:
        asyncio.run(run_until_signal(running, lambda: console.print("stopping")))
    except FAILURES as error:
        console.print_failure("stopped", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
