"""The time zones that forms offer, by region."""

from collections.abc import Mapping
from functools import cache
from itertools import groupby
from typing import Any, Final
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


def timezone_choices(selected: str) -> dict[str, Any]:
    """Return what the macro `timezone_field` needs: zones by region, and those outside regions."""
    zones = timezones_by_region()
    listed = {name for names in zones.values() for name in names}
    # UTC is in no region; a reader may have another name that the database knows.
    return {"zones": zones, "own_zones": sorted({"UTC", selected} - listed - {""})}
