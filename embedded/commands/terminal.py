"""Terminal output without markup, and option errors that name the variables of make, for the commands of `make`."""

import argparse
import re
from contextlib import suppress
from datetime import date
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text


class Terminal(Console):
    """Prints text unchanged: names, titles and errors may contain markup or emoji codes of the library.

    When the terminal or the pipe is closed, the output ends and the command continues.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `Console` does, by default without line breaks."""
        try:
            super().print(*objects, **{"soft_wrap": True, **options})
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Stop the output. `Console` would end the process here while its children run."""
        self.quiet = True
        with suppress(OSError):
            self.file.close()

    def print_failure(self, summary: str, error: BaseException) -> None:
        """Print what failed, and the error."""
        self.print(Text(f"{summary}: ", style="red"), str(error) or type(error).__name__, sep="")


class MakeParser(argparse.ArgumentParser):
    """Parses a command's options; its errors name the variable of make: PORT for --port."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and one line."""
        text = re.sub(r"argument --([a-z-]+)", lambda found: found[1].upper().replace("-", "_"), message)
        self.exit(2, f"{self.prog}: {text}\n")


def day(text: str) -> date:
    """Read a date. Raises `argparse.ArgumentTypeError`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date: use YYYY-MM-DD, such as 2026-11-22") from None
