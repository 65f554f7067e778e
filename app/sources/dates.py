"""Dates and times as feeds and libraries write them: as precise as the source states, and no more."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Final

_MAX_SPACE: Final = 500
_MAX_TIME: Final = 64
_EARLIEST, _LATEST = 1000, 2999
_FARTHEST: Final = 14
"""Hours from UTC, of Kiribati."""

_MONTH_NAMES: Final = (
    "january janvier januar enero gennaio janeiro januari"
    "|february février fevrier februar febrero febbraio fevereiro februari|march mars märz maerz marzo março maart"
    "|april avril abril aprile|may mai mayo maggio maio mei|june juin juni junio giugno junho"
    "|july juillet juli julio luglio julho|august août aout agosto augustus"
    "|september septembre septiembre settembre setembro|october octobre oktober octubre ottobre outubro"
    "|november novembre noviembre novembro"
    "|december décembre decembre dezember diciembre dicembre dezembro"
)
_FULL: Final = [names.split() for names in _MONTH_NAMES.split("|")]
_SHORT: Final = {
    name[:3]: number
    for number, names in enumerate(_FULL, 1)
    for name in names
    if number not in {6, 7} or name[:3] not in {"jui", "giu"}
}
_MONTHS: Final = (
    _SHORT
    | {"juin": 6, "juil": 7, "sept": 9}
    | {name: number for number, names in enumerate(_FULL, 1) for name in names}
)

# Hours from UTC of the zones that RFC 822 does not name, and of those that it does.
_ZONES: Final = {
    "UT": 0.0, "UTC": 0.0, "GMT": 0.0, "Z": 0.0, "WET": 0.0, "WEST": 1.0, "BST": 1.0, "IST": 5.5,
    "CET": 1.0, "MET": 1.0, "CEST": 2.0, "MEST": 2.0, "EET": 2.0, "EEST": 3.0, "MSK": 3.0, "JST": 9.0,
    "KST": 9.0, "HKT": 8.0, "SGT": 8.0,
    "AEST": 10.0, "AEDT": 11.0, "ACST": 9.5, "AWST": 8.0, "NZST": 12.0, "NZDT": 13.0, "BRT": -3.0, "ART": -3.0,
    "ET": -5.0, "EST": -5.0, "EDT": -4.0, "CST": -6.0, "CDT": -5.0, "MST": -7.0, "MDT": -6.0, "PT": -8.0, "PST": -8.0,
    "PDT": -7.0, "AKST": -9.0, "AKDT": -8.0, "HST": -10.0,
}  # fmt: skip

_WORD: Final = r"(?P<month>[^\W\d_]{3,10})\.?"
_FORMS: Final = tuple(
    re.compile(form)
    for form in (
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)",
        r"(?P<year>\d{4})(?P<month>[01]\d)(?P<day>[0-3]\d)(?!\d)",
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})(?!\d)",
        rf"(?<!\d)(?<!\d[-\u2013/])(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s?"
        rf"(?:[-\u2013/&]{{1,3}}\s?\d{{1,2}}(?:st|nd|rd|th|\.)?)?"
        rf"[\s-](?:of )?{_WORD},?[\s-](?P<year>\d{{4}})(?!\d)",
        rf"{_WORD}\s(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:\s?[-\u2013/]{{1,3}}\s?\d{{1,2}})?,?\s(?P<year>\d{{4}})(?!\d)",
        rf"{_WORD}[\s,-]{{1,2}}(?P<year>\d{{4}})(?!\d)",
        rf"(?P<year>\d{{4}})[\s,/-]{{1,2}}{_WORD}(?:\s(?P<day>\d{{1,2}})(?!\d))?",
        r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})(?!\d)",
        r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})(?!\d)",
        r"(?P<month>\d{1,2})[/.-](?P<year>\d{4})(?!\d)",
        r"(?P<year>\d{4})(?!\d)",
    )
)
_CLOCK: Final = re.compile(r"(?<!\d)(\d{1,2}):(\d{2})(?::(\d{2}))?(?:[.,]\d{1,9})?\s?([AaPp]\.?[Mm]\.?)?")
_HALVES: Final = re.compile(r"\d\s?[AaPp]\.?[Mm]\b")
_OFFSET: Final = re.compile(r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})\)?$|(?P<zone>[A-Z]{1,4})\)?$")


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A day, a month or a year; `str()` is ISO 8601: 2026-11-28, 2026-11, 2026."""

    year: int
    month: int | None = None
    day: int | None = None

    def __str__(self) -> str:
        parts = [f"{self.year:04}", *(f"{part:02}" for part in (self.month, self.day) if part)]
        return "-".join(parts)

    @property
    def begins(self) -> datetime:
        """The beginning of the period, in UTC."""
        return datetime(self.year, self.month or 1, self.day or 1, tzinfo=UTC)


def read_date(text: str | None) -> PartialDate | None:
    """Read the first date of a text in any of the common forms: 2026-11-28, 28 Nov 2026, `24-26 May, 2002`."""
    text = _cut(text)
    for form in _FORMS:
        for found in form.finditer(text):
            date = _date(found)
            if date is not None:
                return date
    return None


def read_month(text: str | None) -> tuple[int | None, int | None]:
    """Read a month, and maybe a day, as the field `month` holds them: `nov`, `11`, `November 28`, `24~May`."""
    words = re.findall(r"[^\W\d_]+|\d+", _cut(text).lower())
    named = next((_MONTHS[word] for word in words if word in _MONTHS), None)
    numbers = [int(word) for word in words if word.isdecimal() and len(word) <= len("28")]
    if named is None:
        return (numbers[0], None) if len(words) == 1 and numbers and 1 <= numbers[0] <= len(_FULL) else (None, None)
    return named, (numbers[0] if numbers else None)


def complete(date: PartialDate | None, month: int | None, day: int | None) -> PartialDate | None:
    """Add a month and a day that are known apart from the year, unless the calendar has no such day."""
    if date is None or date.month is not None or month is None:
        return date
    return _valid(date.year, month, day) or _valid(date.year, month, None) or date


def parse_time(text: str | None) -> datetime | None:
    """Read a time as Atom (RFC 3339), RSS (RFC 822) or people write it, as UTC; a day counts from its beginning."""
    text = _cut(text)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    return next(_readings(text), None)


def _readings(text: str) -> Iterator[datetime]:
    zone = _OFFSET.search(text)
    offset = timedelta(hours=_hours(zone) or 0)
    # The standard library knows only some of the names, and reads 3:30 PM as the morning.
    bare = text[: zone.start()].rstrip(" (") if zone and zone["zone"] in _ZONES else text
    if not _HALVES.search(text):
        try:
            moment = parsedate_to_datetime(bare)
            yield (moment.replace(tzinfo=timezone(offset)) if moment.tzinfo is None else moment).astimezone(UTC)
        except (ValueError, OverflowError, TypeError, IndexError):
            pass
    date = read_date(text)
    if date is not None:
        yield date.begins + _clock(text) - offset


def _clock(text: str) -> timedelta:
    found = _CLOCK.search(text)
    if found is None:
        return timedelta(0)
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    # The end of the day in ISO 8601, which fromisoformat() reads from Python 3.14 on.
    if (hour, minute, second) == (24, 0, 0) and not found[4]:
        return timedelta(days=1)
    if found[4]:
        hour = hour % 12 + (12 if found[4][0] in "pP" else 0)
    try:
        time(hour, minute, second)
    except ValueError:
        return timedelta(0)
    return timedelta(hours=hour, minutes=minute, seconds=second)


def _hours(zone: re.Match[str] | None) -> float | None:
    if zone is None:
        return None
    if zone["zone"]:
        return _ZONES.get(zone["zone"])
    hours = int(zone["hours"]) + int(zone["minutes"]) / 60
    return (-hours if zone["sign"] == "-" else hours) if hours <= _FARTHEST else None


def _cut(text: str | None) -> str:
    return " ".join((text or "")[:_MAX_SPACE].split())[:_MAX_TIME]


def _date(found: re.Match[str]) -> PartialDate | None:
    parts = found.groupdict()
    month = parts.get("month")
    number = (
        None if month is None else int(month) if month.isdecimal() else _MONTHS.get(month.lower().removesuffix("."))
    )
    if month is not None and number is None:
        return None
    day = int(parts["day"]) if parts.get("day") else None
    year = int(parts["year"])
    if found.re is _FORMS[8] and number is not None and number > len(_FULL):
        number, day = day, number
    return _valid(year, number, day)


def _valid(year: int, month: int | None, day: int | None) -> PartialDate | None:
    try:
        datetime(year, 1 if month is None else month, 1 if day is None else day, tzinfo=UTC)
    except ValueError:
        return None
    return PartialDate(year, month, day) if _EARLIEST <= year <= _LATEST else None
