"""When arXiv announces a day's papers, and when each source has all of them."""

from datetime import UTC, date, datetime

import pytest

from app.sources.arxiv_announcements import announced_at, announcement_of, in_query_api_from


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("submitted", "announced"),
    [
        # In winter 14:00 Eastern is 19:00 UTC, and 20:00 is 01:00 of the next day.
        ("2026-01-05 18:59:59", "2026-01-06 01:00"),
        ("2026-01-05 19:00:00", "2026-01-07 01:00"),
        # Papers of late Thursday and of Friday are announced on Sunday.
        ("2026-01-08 19:00:00", "2026-01-12 01:00"),
        ("2026-01-09 18:59:59", "2026-01-12 01:00"),
        # Papers after Friday's deadline are announced on Monday.
        ("2026-01-09 19:00:00", "2026-01-13 01:00"),
        ("2026-01-11 12:00:00", "2026-01-13 01:00"),
        # In summer both are one hour earlier.
        ("2026-07-06 17:59:59", "2026-07-07 00:00"),
        ("2026-07-06 18:00:00", "2026-07-08 00:00"),
    ],
)
def test_a_paper_is_announced_after_the_submission_deadline(submitted: str, announced: str) -> None:
    assert announced_at(at(submitted)) == at(announced)


@pytest.mark.parametrize(
    ("day", "announced"),
    [
        (date(2026, 1, 5), "2026-01-07 01:00"),
        (date(2026, 1, 8), "2026-01-12 01:00"),
        (date(2026, 1, 9), "2026-01-13 01:00"),
        (date(2026, 1, 10), "2026-01-13 01:00"),
        (date(2026, 1, 11), "2026-01-13 01:00"),
        # Daylight saving time begins on Sunday, March 8.
        (date(2026, 3, 6), "2026-03-10 00:00"),
    ],
    ids=str,
)
def test_a_day_is_announced_with_its_last_paper(day: date, announced: str) -> None:
    assert announcement_of(day) == at(announced)


def test_the_query_api_has_a_day_after_the_next_midnight() -> None:
    assert in_query_api_from(date(2026, 1, 5)) == at("2026-01-07 05:00")
    assert in_query_api_from(date(2026, 7, 6)) == at("2026-07-08 04:00")
