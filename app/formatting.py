"""Formatting of numbers, durations and times for people."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def figure(number: float) -> str:
    """Format a number with thousands separators."""
    return f"{number:,.0f}"


def count_up_to(limit: int, number: int) -> str:
    """Format a number that was counted up to `limit`: `1,000 or more`."""
    return f"{figure(limit)} or more" if number >= limit else figure(number)


def duration(seconds: float | None) -> str:
    """Format a duration in at most two units; None gives a dash."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004  (below, tenths matter)
    for unit, smaller, names in ((_DAY, _HOUR, ("d", "h")), (_HOUR, _MINUTE, ("h", "min")), (_MINUTE, 1, ("min", "s"))):
        whole, rest = divmod(int(seconds), unit)
        if whole:
            return f"{whole:,} {names[0]} {rest // smaller} {names[1]}" if rest // smaller else f"{whole:,} {names[0]}"
    raise AssertionError(seconds)


def moment(at: datetime) -> str:
    """Format a time in UTC."""
    return f"{at.astimezone(UTC):%b %d, %H:%M:%S}"


FILTERS: Final[dict[str, Callable[..., str]]] = {"figure": figure, "duration": duration, "moment": moment}
"""Template filters by name."""
