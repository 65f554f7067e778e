"""The time zones that the schedule form offers, by region."""

from collections.abc import Mapping
from functools import cache
from itertools import groupby
from typing import Final
from zoneinfo import available_timezones

REGIONS: Final = frozenset(
    ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
)
"""Regions of the IANA database; its other names are abbreviations, countries and offsets."""


@cache
def timezones_by_region() -> Mapping[str, tuple[str, ...]]:
    """Return the names by region. Empty if this machine has no time zone database."""
    names = sorted(name for name in available_timezones() if name.partition("/")[0] in REGIONS)
    return {region: tuple(found) for region, found in groupby(names, key=lambda name: name.partition("/")[0])}
