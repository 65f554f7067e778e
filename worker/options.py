"""The options of `python -m worker`."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from app.config import DEFAULT_CALLER

LONGEST_AHEAD: Final = timedelta(days=7)
_DURATION: Final = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class OneShotOptions:
    """The options of one run. `ahead`: the time until the next one; `wait`: how long this one waits for sources.

    `readers` is a readers file that is applied first, for the caller `owner`; `prune` pauses readers that are no longer
    in it.
    """

    ahead: timedelta = timedelta(hours=24)
    wait: timedelta = timedelta(minutes=10)
    readers: Path | None = None
    prune: bool = False
    owner: str = DEFAULT_CALLER


def parse_options(arguments: Sequence[str]) -> OneShotOptions | None:
    """Return the options of one run; None: run permanently. Exits with status 2 if an option is invalid."""
    parser = argparse.ArgumentParser(
        prog="python -m worker", description="Runs the worker. Settings: docs/SETTINGS.md."
    )
    parser.add_argument(
        "--once", action="store_true", help="fetch, write and send what is due before the next run, then exit"
    )
    parser.add_argument(
        "--ahead", type=_duration, help="time until the next run, such as 24h: readers due before it are due now"
    )
    parser.add_argument("--wait", type=_duration, help="longest wait for sources, such as 10m")
    parser.add_argument("--readers", type=Path, metavar="FILE", help="create or change the readers of this file first")
    parser.add_argument("--prune", action="store_true", help="pause readers that are no longer in the file")
    parser.add_argument("--owner", help=f"the caller who owns the readers of the file (default: {DEFAULT_CALLER})")
    chosen = vars(parser.parse_args(arguments))
    once = chosen.pop("once")
    given = {name: value for name, value in chosen.items() if value not in {None, False}}
    if not once:
        if given:
            parser.error(f"{', '.join(f'--{name}' for name in given)} needs --once")
        return None
    options = OneShotOptions(**given)
    if not timedelta(0) < options.ahead <= LONGEST_AHEAD:
        parser.error(f"--ahead is {chosen['ahead']}: use more than 0 and at most {LONGEST_AHEAD.days} days")
    if options.prune and options.readers is None:
        parser.error("--prune needs --readers")
    return options


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write a number and s, m, h or d, such as 10m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
