"""What the commands of `make` share: output that is never markup, and errors that name the variables of make."""

import argparse
import re
from contextlib import suppress
from datetime import date
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

MOST_PORT = 65_535


class Terminal(Console):
    """Prints text as it is: names, titles and errors may hold what the library would read as markup or emoji.

    A terminal that was closed, or a pipe whose reader has gone, ends the output and not the command.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `Console` does, lines unbroken unless it is told otherwise."""
        try:
            super().print(*objects, **{"soft_wrap": True, **options})
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Say nothing any more; `Console` would end the process here, with its children running."""
        self.quiet = True
        with suppress(OSError):
            self.file.close()

    def failed(self, what: str, error: BaseException) -> None:
        """Say what did not work, and why."""
        self.print(Text(f"{what}: ", style="red"), str(error) or type(error).__name__, sep="")


class MakeParser(argparse.ArgumentParser):
    """Reads a command's options; its errors name the variable of make: PORT for --port."""

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line."""
        said = re.sub(r"argument --([a-z-]+)", lambda found: found[1].upper().replace("-", "_"), message)
        self.exit(2, f"{self.prog}: {said}\n")


def port(text: str) -> int:
    """Read a port. Raises `argparse.ArgumentTypeError`."""
    if not text.isdecimal() or int(text) > MOST_PORT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port: give a number from 0 to {MOST_PORT}, 0 for a free one"
        )
    return int(text)


def day(text: str) -> date:
    """Read a day. Raises `argparse.ArgumentTypeError`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day: give it as YYYY-MM-DD, such as 2026-11-22") from None
