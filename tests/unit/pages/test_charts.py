"""Charts draw each step and have a text form; figures are formatted for people."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.formatting import duration, figure, moment
from app.pages.ops.charts import HEIGHT, NO_DATA, WIDTH, charts_of
from app.persistence.overview import StatSeries

SINCE = datetime(2026, 11, 24, 10, tzinfo=UTC)
STEP = 180


def point(step: int, **figures: Any) -> dict[str, Any]:
    nothing = {"completed": 0, "failed": 0, "retried": 0, "ready": 0, "running": 0, "oldest_seconds": 0}
    waits = {"wait_mean_seconds": None, "wait_max_seconds": None}
    return {"at": SINCE + timedelta(seconds=STEP * step), **nothing, **waits, **figures}


def series(*points: dict[str, Any]) -> StatSeries:
    kinds = [{"kind": "digest", "points": points}]
    return StatSeries.model_validate({"since": SINCE, "step_seconds": STEP, "kinds": kinds})


def bars(path: str) -> list[tuple[float, float]]:
    """Where each bar of a path begins, and its height."""
    return [(float(x), float(high)) for x, high in re.findall(rf"M([\d.]+) {HEIGHT}v-([\d.]+)", path)]


def test_each_step_has_a_bar_unless_it_has_no_workers() -> None:
    last = point(119, completed=45, failed=15, wait_mean_seconds=2, wait_max_seconds=8)
    drawn = charts_of(series(point(0, completed=30), point(60, retried=4), last), "digest")
    (_, ended), (_, failed) = drawn.rate.series
    assert bars(ended) == [(0, HEIGHT / 2), (WIDTH / 120 * 119, HEIGHT)]
    assert bars(failed) == [(WIDTH / 120 * 119, HEIGHT / 4)]
    assert drawn.rate.highest == "20 per minute at most"
    assert drawn.rate.description.startswith("In the last 6 hours, 75 tasks completed and 15 failed permanently.")
    (_, longest), (_, mean) = drawn.wait.series
    assert (bars(longest)[0][1], bars(mean)[0][1]) == (HEIGHT, HEIGHT / 4)
    assert "8.0 s at most" in drawn.wait.description


def test_the_table_lists_half_hours_newest_first() -> None:
    waits = point(9, completed=2, wait_mean_seconds=1, wait_max_seconds=3)
    rows = charts_of(series(point(0, completed=1), waits, point(119, failed=7)), "digest").rows
    assert [(f"{row.begins:%H:%M}", row.completed, row.failed, row.wait) for row in rows] == [
        ("15:30", 0, 7, None),
        ("10:00", 3, 0, 3),
    ]


@pytest.mark.parametrize("kind", ["digest", "fetch"])
def test_without_data_there_is_no_chart(kind: str) -> None:
    drawn = charts_of(series(), kind)
    assert [path for chart in (drawn.rate, drawn.wait) for _, path in chart.series] == [""] * 4
    assert (drawn.rate.highest, drawn.wait.highest, drawn.rows) == (NO_DATA, NO_DATA, ())


def test_figures_are_formatted_for_people() -> None:
    seconds = (None, 0, 0.25, 9.96, 59.9, 60, 61, 3600, 7265, 90_000, 864_000)
    expected = ["–", "0 s", "0.2 s", "10.0 s", "60 s", "1 min", "1 min 1 s", "1 h", "2 h 1 min", "1 d 1 h", "10 d"]  # noqa: RUF001  (the sign for nothing)
    assert [duration(each) for each in seconds] == expected
    assert (figure(1234567.4), moment(SINCE)) == ("1,234,567", "Nov 24, 10:00:00")
