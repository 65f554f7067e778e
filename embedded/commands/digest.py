"""`python -m embedded.commands.digest` (`make digest`): runs the whole service once, from a profile to a page."""

import asyncio
import json
import sys
import webbrowser
from argparse import Namespace
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.days import yesterday
from app.models.profiles import Profile
from embedded.commands.child_processes import ROOT, ChildFailed
from embedded.commands.local_service import LOCAL, LocalService, local_service, sources_reachable
from embedded.commands.profiles import BadProfile, profile_of, read_profile
from embedded.commands.stopping import INTERRUPTED, run_until_signal
from embedded.commands.terminal import MakeParser, Terminal
from embedded.commands.terminal import day as a_day
from embedded.postgres.programs import PostgresError
from scripts.migrate import MigrationError

EXAMPLE = ROOT / "profiles" / "example.toml"
POLL_SECONDS = 0.1
ROWS = 5
"""Papers and news items in the printed table, each."""

FAILURES = (BadProfile, ChildFailed, PostgresError, MigrationError, OSError, httpx.HTTPError, asyncpg.PostgresError)
"""Errors that can end a command; each has a message for people."""


class DigestFailed(Exception):
    """The digest was not written; the message says why."""


@dataclass(frozen=True)
class DigestOptions:
    """The options of `make digest`."""

    profile: Profile
    day: date
    out: Path
    offline: bool
    folder: Path = LOCAL
    """The folder of databases and logs."""

    @property
    def log(self) -> Path:
        """The file with the logs of all processes."""
        return self.folder / "logs" / "digest.log"


async def write_digest(options: DigestOptions, console: Terminal) -> Path:
    """Start everything, request the digest over HTTP, store and print it, stop everything; returns the page's file.

    Raises `DigestFailed`, `ChildFailed`, `PostgresError`.
    """
    if not options.offline:
        console.print("looking for arXiv")
    live = not options.offline and await sources_reachable()
    if not live:
        console.print("arXiv cannot be reached from here: using the bundled sample edition (invented papers and news).")
    options.log.parent.mkdir(parents=True, exist_ok=True)
    with options.log.open("w", encoding="utf-8") as log:
        console.print("starting the database, the API and a worker")
        running = local_service(
            options.day,
            lambda name, line: print(f"{name}: {line}", file=log, flush=True),
            live=live,
            folder=options.folder,
            # The digest would wait for the other days, because requests to arXiv are three seconds apart.
            daily=False,
            categories=options.profile.categories,
        )
        async with running as services:
            result = await _request(services, options, console)
    return _store(result, options, console)


async def _request(services: LocalService, options: DigestOptions, console: Terminal) -> tuple[dict[str, Any], str]:
    headers = {"X-API-Key": services.api_key}
    async with httpx.AsyncClient(base_url=services.api, headers=headers, trust_env=False, timeout=30) as http:
        body = {"profile": options.profile.model_dump(mode="json"), "source_date": options.day.isoformat()}
        posted = await http.post("/v1/digests", json=body)
        if posted.is_error:
            raise DigestFailed(f"the API refused the digest: {posted.text}")
        location = posted.headers["location"]
        task = await _follow(http, location, services, console)
        if task["status"] != "completed":
            raise DigestFailed(f"the digest {task['status']}: {task['error']} (log: {options.log})")
        finished = await http.get(location, params={"include": "result"})
        page = await http.get(f"{location}/html")
    return finished.json(), page.text


async def _follow(http: httpx.AsyncClient, location: str, services: LocalService, console: Terminal) -> dict[str, Any]:
    """Poll until the task has ended, and print each change of its message."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar, printed = progress.add_task("posted", total=1.0), ""
        while True:
            response = await http.get(location)
            task: dict[str, Any] = response.json()
            message = task["message"] or task["status"]
            progress.update(bar, completed=task["progress"], description=message)
            if message != printed:
                progress.console.print(f"  {message}")
                printed = message
            if "retry-after" not in response.headers:
                return task
            for process in services.children:
                process.require_alive()
            await asyncio.sleep(POLL_SECONDS)


def _store(result: tuple[dict[str, Any], str], options: DigestOptions, console: Terminal) -> Path:
    task, page = result
    digest = task["digest"]
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / f"digest-{options.day}.html"
    file.write_text(page, encoding="utf-8")
    text = json.dumps(digest, ensure_ascii=False, indent=2)
    file.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    console.print(_table(digest))
    console.print(digest["introduction"])
    console.print(f"written: {file} and {file.with_suffix('.json').name}", soft_wrap=True)
    return file


def _table(digest: dict[str, Any]) -> Table:
    table = Table(title=f"The best of {digest['source_date']} for {digest['profile']['name']}", title_justify="left")
    table.add_column("score", justify="right")
    table.add_column("title")
    table.add_column("reason", style="dim")
    for item in [*digest["papers"][:ROWS], *digest["news"][:ROWS]]:
        table.add_row(f"{item['score']:.2f}", item["article"]["title"], item["reason"])
    return table


def main(arguments: list[str] | None = None) -> int:
    """Write one digest; on failure print the reason and return 1."""
    parser = MakeParser(prog="make digest", description="Start everything, write one digest and stop.")
    parser.add_argument("--profile", type=Path, help="a file such as profiles/example.toml, which is the default")
    parser.add_argument("--interests", help="interests separated by commas, instead of a profile")
    parser.add_argument("--categories", help="arXiv categories separated by commas, such as cs.RO")
    parser.add_argument("--date", type=a_day, default=yesterday(), help="the edition's day, YYYY-MM-DD")
    parser.add_argument("--out", type=Path, default=ROOT / "out")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--offline", action="store_true", help="use the sample edition without trying arXiv")
    parser.add_argument("--folder", type=Path, default=LOCAL, help="the folder of databases and logs")
    chosen = parser.parse_args(arguments)
    console = Terminal()
    try:
        options = DigestOptions(_profile(parser, chosen), chosen.date, chosen.out, chosen.offline, chosen.folder)
        stopped = asyncio.run(
            run_until_signal(_write(options, console, open_page=chosen.open), lambda: console.print("stopping"))
        )
    except (DigestFailed, *FAILURES) as error:
        console.print_failure("no digest", error)
        return 1
    return INTERRUPTED if stopped else 0


def _profile(parser: MakeParser, chosen: Namespace) -> Profile:
    """Return the profile of the options. Raises `BadProfile`."""
    if chosen.interests or chosen.categories:
        if chosen.profile is not None:
            parser.error("PROFILE is set together with INTERESTS or CATEGORIES: use either a file or these")
        return profile_of(chosen.interests or "", chosen.categories or "")
    return read_profile(chosen.profile or EXAMPLE)


async def _write(options: DigestOptions, console: Terminal, *, open_page: bool) -> None:
    page = await write_digest(options, console)
    if open_page:
        webbrowser.open(page.resolve().as_uri())


if __name__ == "__main__":
    sys.exit(main())
