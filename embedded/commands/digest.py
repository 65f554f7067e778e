"""`python -m embedded.commands.digest` (`make digest`): the whole service at work once, from a profile to a page."""

import argparse
import asyncio
import json
import sys
import tomllib
import webbrowser
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.days import yesterday
from app.models import Profile, SentProfile
from embedded.commands.children import ROOT, ChildFailed
from embedded.commands.together import Together, sources_answer, together
from embedded.postgres.programs import PostgresError
from scripts.migrate import MigrationError

POLL_SECONDS = 0.1
SHOWN = 5
LOGS = ROOT / ".local" / "logs"


class DigestFailed(Exception):
    """The digest was not written; the text says why."""


@dataclass(frozen=True)
class Wish:
    """What to write, for whom, and where to put it."""

    profile: Profile
    day: date
    out: Path
    offline: bool


def read_profile(file: Path) -> Profile:
    """Read a profile. Raises `DigestFailed` that names the file and every wrong entry."""
    try:
        return SentProfile.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise DigestFailed(f"the profile {file} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise DigestFailed(f"the profile {file} is no TOML: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise DigestFailed(f"the profile {file} is not valid: {wrong}") from None


async def write_digest(wish: Wish, console: Console) -> Path:
    """Start everything, ask for the digest over HTTP, store and show it, stop everything; returns the page's file.

    Raises `DigestFailed`, `ChildFailed`, `PostgresError`.
    """
    live = not wish.offline and await sources_answer()
    if not live:
        console.print("arXiv cannot be reached from here: using the bundled sample edition, whose items are invented.")
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / "digest.log").open("w", encoding="utf-8") as log:
        with console.status("starting the database, the API and a worker"):
            running = together(wish.day, lambda name, line: print(f"{name}: {line}", file=log, flush=True), live=live)
            services = await running.__aenter__()
        try:
            result = await _ask(services, wish, console)
        finally:
            await running.__aexit__(*sys.exc_info())
    return _store(result, wish, console)


async def _ask(services: Together, wish: Wish, console: Console) -> tuple[dict[str, Any], str]:
    headers = {"X-API-Key": services.api_key}
    async with httpx.AsyncClient(base_url=services.api, headers=headers, trust_env=False, timeout=30) as http:
        body = {"profile": wish.profile.model_dump(mode="json"), "source_date": wish.day.isoformat()}
        posted = await http.post("/v1/digests", json=body)
        if posted.is_error:
            raise DigestFailed(f"the API refused the digest: {posted.text}")
        location = posted.headers["location"]
        task = await _follow(http, location, services, console)
        if task["status"] != "completed":
            raise DigestFailed(f"the digest {task['status']}: {task['error']} (log: {LOGS / 'digest.log'})")
        finished = await http.get(location, params={"include": "result"})
        page = await http.get(f"{location}/html")
    return finished.json(), page.text


async def _follow(http: httpx.AsyncClient, location: str, services: Together, console: Console) -> dict[str, Any]:
    """Poll until the task has ended, showing what it says."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar, said = progress.add_task("posted", total=1.0), ""
        while True:
            answer = await http.get(location)
            task: dict[str, Any] = answer.json()
            message = task["message"] or task["status"]
            progress.update(bar, completed=task["progress"], description=message)
            if message != said:
                progress.console.print(f"  {message}")
                said = message
            if "retry-after" not in answer.headers:
                return task
            for process in services.children:
                process.require_alive()
            await asyncio.sleep(POLL_SECONDS)


def _store(result: tuple[dict[str, Any], str], wish: Wish, console: Console) -> Path:
    task, page = result
    digest = task["digest"]
    wish.out.mkdir(parents=True, exist_ok=True)
    file = wish.out / f"digest-{wish.day}.html"
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
    table.add_column("why", style="dim")
    for item in [*digest["papers"][:SHOWN], *digest["news"][:SHOWN]]:
        table.add_row(f"{item['score']:.2f}", item["article"]["title"], item["reason"])
    return table


def main(arguments: list[str] | None = None) -> int:
    """Write one digest; 1 with the reason if that fails."""
    parser = argparse.ArgumentParser(prog="make digest", description="Write one digest with everything that it takes.")
    parser.add_argument("--profile", type=Path, default=ROOT / "profiles" / "example.toml")
    parser.add_argument("--date", type=date.fromisoformat, default=yesterday(), help="the edition's day, YYYY-MM-DD")
    parser.add_argument("--out", type=Path, default=ROOT / "out")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    parser.add_argument("--offline", action="store_true", help="use the sample edition without asking arXiv")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        wish = Wish(read_profile(options.profile), options.date, options.out, options.offline)
        page = asyncio.run(write_digest(wish, console))
    except (DigestFailed, ChildFailed, PostgresError, MigrationError, OSError) as error:
        console.print(f"[red]no digest:[/red] {error}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    if options.open:
        webbrowser.open(page.resolve().as_uri())
    return 0


if __name__ == "__main__":
    sys.exit(main())
