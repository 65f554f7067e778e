"""`python -m embedded.commands.daily` (`make daily`): one run of the worker on a database that is kept between runs."""

import asyncio
import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.api.readers_file import InvalidReadersFile, read_readers_file
from app.days import yesterday
from embedded.commands.child_processes import ROOT, child
from embedded.commands.digest import FAILURES
from embedded.commands.local_service import GRACE, LOCAL, source_settings, sources_reachable
from embedded.commands.one_reader import ADDRESS, one_reader_file
from embedded.commands.profiles import profile_of
from embedded.commands.stopping import INTERRUPTED, run_until_signal
from embedded.commands.terminal import MakeParser, Terminal
from embedded.stack import Stack, StackOptions
from scripts.migrate import MIGRATIONS

EXAMPLE = ROOT / "readers.example.toml"
SENDER = "Broadsheet <digest@broadsheet.example>"
WAIT_UNREACHABLE = "20s"
"""The wait if arXiv does not respond: long enough for other sources to be tried twice."""
SHOWN_MAILS = 5


class MailSettings(BaseSettings):
    """How mails are sent: the environment or `.env`; without MAIL_URL, to a folder."""

    model_config = SettingsConfigDict(env_file=ROOT / ".env", extra="ignore", env_ignore_empty=True)

    mail_url: SecretStr | None = None
    mail_from: str | None = None

    def as_environment(self, mailbox: Path) -> dict[str, str]:
        """Return the worker's settings. No API runs, so there is no PUBLIC_URL: mails have no buttons."""
        url = self.mail_url.get_secret_value() if self.mail_url is not None else f"folder:{mailbox}"
        # Without MAIL_URL any sender will do. With it, the worker reports that MAIL_FROM is missing.
        sender = self.mail_from or (SENDER if self.mail_url is None else "")
        return {"MAIL_URL": url, "MAIL_FROM": sender}


@dataclass(frozen=True)
class DailyOptions:
    """The options of `make daily`. `wait` is None unless it was given."""

    readers: Path
    prune: bool
    sample: bool
    wait: str | None
    folder: Path

    @property
    def database(self) -> Path:
        """The folder of the database. Sample and real editions have separate ones."""
        return self.folder / ("sample" if self.sample else "live")

    @property
    def mailbox(self) -> Path:
        """The folder of mails."""
        return self.folder / "mailbox"


async def daily(options: DailyOptions, mail: MailSettings, console: Terminal) -> int:
    """Run the worker once; returns its exit status. Raises `FAILURES`."""
    categories = {
        name
        for each in read_readers_file(options.readers, os.environ)
        for name in each.entry.values["profile"]["categories"]
    }
    wait = options.wait or await _wait(options, console)
    console.print(f"starting the database in {options.database}")
    before = _mails(options.mailbox)
    async with AsyncExitStack() as running:
        stack = Stack(StackOptions(options.database, 0, MIGRATIONS))
        ready = await stack.start()
        running.push_async_callback(stack.stop)
        sources = await running.enter_async_context(
            source_settings(yesterday(), live=not options.sample, categories=sorted(categories))
        )
        settings = {
            **sources,
            **mail.as_environment(options.mailbox),
            "SUPABASE_URL": ready.url,
            "SUPABASE_KEY": ready.secret_key,
            "ENVIRONMENT": "production",
            "PYTHONUNBUFFERED": "1",
            "GRACE_PERIOD": GRACE,
            # The day that digests need is fetched in any case.
            **({"DAILY_FETCH_AT": "off"} if options.sample else {}),
        }
        arguments = ["--once", "--wait", wait, "--readers", str(options.readers.resolve())]
        arguments += ["--prune"] if options.prune else []
        console.print("fetching, ranking, writing")
        log = running.enter_context(_log_of(options.folder).open("w", encoding="utf-8"))
        failures = set[str]()

        def show(_name: str, line: str) -> None:
            print(line, file=log, flush=True)
            text = shown_line(line)
            # A source that fails does so for each day, and again at each retry.
            if text is not None and text not in failures:
                console.print(text)
            if text is not None and '"event": "source failed"' in line:
                failures.add(text)

        worker = await running.enter_async_context(
            child("worker", "worker", settings, show, options=arguments, folder=options.folder)
        )
        status = await worker.ended()
    _show_mails(sorted(_mails(options.mailbox) - before), console)
    if status:
        console.print(f"log: {_log_of(options.folder)}")
    return status


async def _wait(options: DailyOptions, console: Terminal) -> str:
    """Return how long the worker waits for sources."""
    if options.sample:
        console.print("using the bundled sample edition: invented papers and news, marked as samples")
        return "2m"
    console.print("looking for arXiv")
    if await sources_reachable():
        return "10m"
    console.print(
        f"arXiv cannot be reached from here: other sources have {WAIT_UNREACHABLE} (SAMPLE=1 needs no network)"
    )
    return WAIT_UNREACHABLE


def shown_line(line: str) -> str | None:
    """Return what people see of a line of the worker: the summary, and its progress."""
    if not line.startswith("{"):
        return line
    try:
        record: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    match record.get("event"):
        case "run begins":
            return f"  {record['due_readers']} reader(s) due"
        case "source read":
            return f"  {record['source']}: {record['articles']} items of {record['source_date']}"
        case "source failed":
            return f"  {record['source']}: {record['error']}"
        case "run continues":
            return f"  {record['digests_written']} digest(s) written, {record['mails_sent']} mail(s) sent"
        case _:
            return None


def _mails(mailbox: Path) -> set[Path]:
    return set(mailbox.glob("*.eml"))


def _show_mails(mails: Sequence[Path], console: Terminal) -> None:
    for mail in mails[:SHOWN_MAILS]:
        console.print(f"mail: {mail}")
    if len(mails) > SHOWN_MAILS:
        console.print(f"and {len(mails) - SHOWN_MAILS} more in {mails[0].parent}")


def _log_of(folder: Path) -> Path:
    return folder / "daily.log"


def main(arguments: list[str] | None = None) -> int:
    """Run once; on failure print the reason and return 1."""
    parser = MakeParser(prog="make daily", description="Fetch, rank and mail what is new, once, on a local database.")
    parser.add_argument("--readers", type=Path, help="a readers file; readers.example.toml shows the form")
    parser.add_argument("--interests", help="your interests separated by commas, instead of a file")
    parser.add_argument("--categories", help="your arXiv categories separated by commas, such as cs.RO")
    parser.add_argument("--email", help="your e-mail address; needed if MAIL_URL is set")
    parser.add_argument("--prune", action="store_true", help="pause readers that are no longer in the file")
    parser.add_argument("--sample", action="store_true", help="use the bundled sample edition")
    parser.add_argument("--wait", help="longest wait for sources, such as 10m")
    parser.add_argument("--folder", type=Path, default=LOCAL / "daily", help="the folder of database and mails")
    chosen = parser.parse_args(arguments)
    console, status = Terminal(), [1]

    async def run() -> None:
        mail = MailSettings()
        chosen.folder.mkdir(parents=True, exist_ok=True)
        options = DailyOptions(
            _readers(parser, chosen, mail), chosen.prune, chosen.sample, chosen.wait, chosen.folder.resolve()
        )
        status[0] = await daily(options, mail, console)

    try:
        stopped = asyncio.run(run_until_signal(run(), lambda: console.print("stopping")))
    except (InvalidReadersFile, *FAILURES) as error:
        console.print_failure("no mail", error)
        return 1
    return INTERRUPTED if stopped else status[0]


def _readers(parser: MakeParser, chosen: Namespace, mail: MailSettings) -> Path:
    """Return the readers file: the given one, or one for the given interests. Raises `BadProfile`."""
    if chosen.readers is not None:
        if chosen.interests or chosen.categories or chosen.email:
            parser.error("READERS is set together with INTERESTS, CATEGORIES or EMAIL: use either a file or these")
        file: Path = chosen.readers
        return file
    if not chosen.interests:
        parser.error(
            f'set INTERESTS="a, b" (and CATEGORIES, EMAIL), or READERS=file.toml ({EXAMPLE.name} shows the form)'
        )
    if mail.mail_url is not None and not chosen.email:
        parser.error("MAIL_URL is set, so EMAIL must be your address")
    profile = profile_of(chosen.interests, chosen.categories or "")
    return one_reader_file(chosen.folder, profile, chosen.email or ADDRESS)


if __name__ == "__main__":
    sys.exit(main())
