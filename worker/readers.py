"""`python -m worker.readers FILE` (`make readers`): creates or changes the readers of a readers file."""

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from app.client.factory import open_supabase
from app.config import DEFAULT_CALLER, Settings, load_settings
from app.errors import ConfigurationError, SupabaseError
from app.libraries.connection import open_library_connections
from app.persistence.readers import ERASED
from app.persistence.readers_file import ReadersFile
from app.process.logs import configure_logs
from app.services import Services
from worker.file_libraries import FileLibraries

NOT_STORED: Final = frozenset({"refused", "erased"})
"""The outcomes of entries of which nothing was written."""


@dataclass(frozen=True)
class FileReport:
    """How a readers file was applied. `refused` has a line for each reader that the database refused, and each library
    that could not be connected.
    """

    counts: Counter[str]
    refused: tuple[str, ...]
    erased: tuple[str, ...]
    """A line for each reader who deleted their data: it is not created again."""
    missing: tuple[str, ...]
    """The keys of readers that are no longer in the file."""
    pruned: bool

    @property
    def summary(self) -> str:
        """One line without names, addresses and interests."""
        applied = ", ".join(f"{self.counts[name]} {name}" for name in ("created", "changed", "unchanged", "refused"))
        note = "paused" if self.pruned else "still active, --prune pauses them"
        gone = f"; {len(self.missing)} no longer in the file ({note})" if self.missing else ""
        erased = f"; {len(self.erased)} {ERASED}" if self.erased else ""
        return f"file     {applied}{erased}{gone}"


async def apply_readers_file(
    readers_file: ReadersFile,
    libraries: FileLibraries,
    path: Path,
    *,
    owner: str = DEFAULT_CALLER,
    prune: bool = False,
    can_confirm: bool = True,
) -> FileReport:
    """Apply a readers file. `can_confirm`: whether the settings allow confirmation mails.

    Raises `InvalidReadersFile` before anything is written, and `SupabaseError`.
    """
    # The models of the API load FastAPI: a second that a worker without a file does not need.
    from app.api.readers_file import DEFAULTS, read_readers_file  # noqa: PLC0415  (see above)

    placed = read_readers_file(path, os.environ, can_confirm=can_confirm)
    entries = [each.entry for each in placed]
    results = await readers_file.apply(owner, entries, DEFAULTS)
    refused = [
        f"line {each.line}: the reader {each.entry.key!r} is refused: {result.reason}"
        for each, result in zip(placed, results, strict=True)
        if result.outcome == "refused"
    ]
    erased = [
        f"line {each.line}: the reader {each.entry.key!r} was {ERASED}"
        for each, result in zip(placed, results, strict=True)
        if result.outcome == "erased"
    ]
    # An entry that was not stored may name a library of somebody else than the stored reader with its key.
    stored = [each for each, result in zip(entries, results, strict=True) if result.outcome not in NOT_STORED]
    problems = await libraries.apply(owner, stored)
    lines = {each.entry.key: each.lines.get("library", each.line) for each in placed}
    refused += [f"line {lines[key]}: the library of {key!r} is not connected: {text}" for key, text in problems.items()]
    missing = await readers_file.missing(owner, [entry.key for entry in entries], pause=prune)
    counts = Counter[str]("unchanged" if each.outcome == "existing" else each.outcome for each in results)
    return FileReport(counts, tuple(refused), tuple(erased), tuple(missing), pruned=prune)


async def _run(path: Path, *, owner: str, prune: bool) -> FileReport:
    settings = load_settings(Settings)
    configure_logs(settings)
    async with open_supabase(settings) as client:
        services = Services.build(client)
        async with open_library_connections(services, settings) as connections:
            libraries = FileLibraries(services.libraries, connections)
            return await apply_readers_file(
                services.readers_file, libraries, path, owner=owner, prune=prune, can_confirm=settings.has_links
            )


def main(arguments: Sequence[str]) -> int:
    """Apply the file, print a report, and return the exit status: 1 if the file or a reader was refused."""
    parser = argparse.ArgumentParser(prog="make readers", description="Create or change the readers of a file.")
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--owner", default=DEFAULT_CALLER, help="the caller who owns the readers (default: %(default)s)"
    )
    parser.add_argument("--prune", action="store_true", help="pause readers that are no longer in the file")
    chosen = parser.parse_args(arguments)
    try:
        report = uvloop.run(_run(chosen.file, owner=chosen.owner, prune=chosen.prune))
    except (ConfigurationError, SupabaseError) as error:
        print(error, file=sys.stderr)  # noqa: T201  (a command's output)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 1
    for line in (
        report.summary,
        *report.refused,
        *report.erased,
        *(f"no longer in the file: {key}" for key in report.missing),
    ):
        print(line)  # noqa: T201  (a command's output)
    return int(bool(report.refused))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
