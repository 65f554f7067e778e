"""The time zones of the schedule form."""

import asyncpg

from app.pages.timezones import REGIONS, timezones_by_region


async def test_the_database_knows_every_listed_time_zone(database: asyncpg.Connection) -> None:
    listed = timezones_by_region()
    assert set(listed) == set(REGIONS)
    names = [name for names in listed.values() for name in names]
    assert {"Europe/Berlin", "America/Argentina/Buenos_Aires", "America/New_York", "Asia/Calcutta"} <= set(names)
    unknown = await database.fetch("select n from unnest($1::text[]) n where not public.timezone_is_known(n)", names)
    assert [row["n"] for row in unknown] == []
