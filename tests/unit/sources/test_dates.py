"""Dates and times as feeds and libraries write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.dates import parse_time, read_date, read_month

DATES = {
    "2026-11-28": "2026-11-28",
    "2026-11": "2026-11",
    "2026": "2026",
    "20261128": "2026-11-28",
    "2026/11/28/": "2026-11-28",
    "28 Nov 2026": "2026-11-28",
    "Nov. 28th, 2026": "2026-11-28",
    "Saturday, November 28, 2026": "2026-11-28",
    "24-26 May, 2002": "2002-05-24",
    "24--26 May 2002": "2002-05-24",
    "28.11.2026": "2026-11-28",
    "13/05/2020": "2020-05-13",
    "05/13/2020": "2020-05-13",
    "juin 2020": "2020-06",
    "2020 Jul 3": "2020-07-03",
    "c. 1998?": "1998",
    "Spring 2003": "2003",
    "2020-13-40": "2020",
    "in press": "None",
    "": "None",
}
TIMES = {
    "2026-11-28 10:00:00 CEST": datetime(2026, 11, 28, 8, tzinfo=UTC),
    "Sat, 28 Nov 2026 10:00:00 CET": datetime(2026, 11, 28, 9, tzinfo=UTC),
    "Sat, 28 Nov 2026 10:00:00 EST": datetime(2026, 11, 28, 15, tzinfo=UTC),
    "Sat, 28 Nov 2026 10:00:00 JST": datetime(2026, 11, 28, 1, tzinfo=UTC),
    "May 24, 2002 3:30 PM": datetime(2002, 5, 24, 15, 30, tzinfo=UTC),
    "2003-12-31T10:14:55-0800": datetime(2003, 12, 31, 18, 14, 55, tzinfo=UTC),
    "Thu, 5 Mär 2020 10:00:00 GMT": datetime(2020, 3, 5, 10, tzinfo=UTC),
    "2026-11-28": datetime(2026, 11, 28, tzinfo=UTC),
    "28 November 2026": datetime(2026, 11, 28, tzinfo=UTC),
    "2026-11-28T24:00:00Z": datetime(2026, 11, 29, tzinfo=UTC),
    "Sat, 28 Nov 2026 24:00:00 EST": datetime(2026, 11, 29, 5, tzinfo=UTC),
    "2026-11-28T24:30:00Z": datetime(2026, 11, 28, tzinfo=UTC),
}
MONTHS = """
    january janvier januar januari enero gennaio janeiro /
    february février februar februari febrero febbraio fevereiro /
    march mars märz maart marzo março / april avril abril aprile / may mai mei mayo maggio maio /
    june juin juni junio giugno junho / july juillet juli julio luglio julho /
    august août augustus agosto / september septembre septiembre settembre setembro /
    october octobre oktober octubre ottobre outubro / november novembre noviembre novembro /
    december décembre dezember diciembre dicembre dezembro
"""
"""Months of English, French, German, Dutch, Spanish, Italian and Portuguese, in the order of the year."""
PLACES = (
    "Europe/Lisbon", "Europe/London", "Europe/Paris", "Europe/Athens", "Europe/Moscow",
    "Asia/Kolkata", "Asia/Tokyo", "Asia/Seoul", "Asia/Hong_Kong",
    "Australia/Sydney", "Australia/Darwin", "Australia/Perth", "Pacific/Auckland",
    "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Anchorage",
    "Pacific/Honolulu",
)  # fmt: skip
"""Places whose abbreviations are in the time zone database."""
OTHER_ZONES = {
    "UT": 0, "UTC": 0, "Z": 0, "MET": 1, "MEST": 2, "SGT": 8, "BRT": -3, "ART": -3, "ET": -5, "PT": -8
}  # fmt: skip
"""Abbreviations that it does not have (any more), and their hours from UTC."""


@pytest.mark.parametrize("text", DATES)
def test_a_date_is_read_in_any_common_form(text: str) -> None:
    assert str(read_date(text)) == DATES[text]


@pytest.mark.parametrize("number", range(1, 13))
def test_a_month_is_read_in_seven_languages(number: int) -> None:
    for name in MONTHS.split("/")[number - 1].split():
        # The abbreviations jui and giu are those of two months.
        for written in (name, name.title(), name[:3] if name[:3] not in {"jui", "giu"} else name):
            assert str(read_date(f"28 {written} 2026")) == f"2026-{number:02}-28", written


@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_read_with_its_zone(text: str) -> None:
    assert parse_time(text) == TIMES[text]


@pytest.mark.parametrize("month", [1, 7])
@pytest.mark.parametrize("place", PLACES)
def test_a_zone_is_read_by_its_abbreviation(place: str, month: int) -> None:
    moment = datetime(2026, month, 15, 12, tzinfo=ZoneInfo(place))
    assert parse_time(f"{moment:%Y-%m-%d %H:%M:%S %Z}") == moment.astimezone(UTC)


@pytest.mark.parametrize("name", OTHER_ZONES)
def test_a_zone_of_no_database_is_read(name: str) -> None:
    assert parse_time(f"2026-11-28 12:00:00 {name}") == datetime(2026, 11, 28, 12 - OTHER_ZONES[name], tzinfo=UTC)


def test_a_month_may_be_a_name_or_a_number() -> None:
    texts = ("nov", "11", "November 28", "24~May", "June-July", "sept.", "13", "")
    assert [read_month(text)[0] for text in texts] == [11, 11, 11, 5, 6, 9, None, None]


@given(st.text(max_size=80))
def test_any_text_is_a_date_or_none(text: str) -> None:
    found = read_date(text)
    assert found is None or found.begins.year == found.year
    assert parse_time(text) is None or isinstance(parse_time(text), datetime)
