"""Statistics of the last hours as SVG charts, and as a table for screen readers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.formatting import duration, figure
from app.persistence.overview import StatPoint, StatSeries

WIDTH: Final = 240
HEIGHT: Final = 48
ROWS: Final = 12
"""Number of table rows; each sums several steps of the chart."""

NO_DATA: Final = "no data yet"
_BAR: Final = 0.75
"""Width of a bar as a fraction of its step."""


@dataclass(frozen=True)
class Chart:
    """A chart of one or more series of bars over time, with a text description."""

    name: str
    title: str
    description: str
    highest: str
    series: tuple[tuple[str, str], ...]
    """CSS class and SVG path of each series."""


@dataclass(frozen=True)
class Row:
    """One row of the table. `wait` is the longest wait in seconds, None if unknown."""

    begins: datetime
    completed: int
    failed: int
    wait: float | None


@dataclass(frozen=True)
class KindCharts:
    """The charts of one kind: finished tasks and wait time."""

    rate: Chart
    wait: Chart
    rows: tuple[Row, ...]


def charts_of(stats: StatSeries, kind: str) -> KindCharts:
    """Return the charts of one kind."""
    points = next((each.points for each in stats.kinds if each.kind == kind), ())
    draw = _Drawing(stats, points)
    return KindCharts(_rate(draw, kind), _wait(draw, kind), tuple(draw.rows()))


class _Drawing:
    """The data points of one kind, each at its step."""

    def __init__(self, stats: StatSeries, points: Sequence[StatPoint]) -> None:
        self._since = stats.since
        self._step = timedelta(seconds=stats.step_seconds)
        self._steps = max([120, *(self._step_of(point) + 1 for point in points)])
        self.points = points
        self.minutes = stats.step_seconds / 60
        self.hours = figure(self._steps * stats.step_seconds / 3600)

    def bars(self, value: Callable[[StatPoint], float], top: float) -> str:
        """Return a path with a bar for each point; a value of `top` fills the height."""
        width = WIDTH / self._steps
        bars = []
        for point in self.points:
            height = round(HEIGHT * value(point) / top, 1) if top else 0
            if height > 0:
                x = round(self._step_of(point) * width, 2)
                bars.append(f"M{x} {HEIGHT}v-{height}h{round(width * _BAR, 2)}v{height}z")
        return "".join(bars)

    def rows(self) -> list[Row]:
        """Return the points summed into rows, newest first."""
        size = self._steps // ROWS
        parts: dict[int, list[StatPoint]] = {}
        for point in self.points:
            parts.setdefault(self._step_of(point) // size, []).append(point)
        return [self._row(self._since + self._step * size * part, parts[part]) for part in sorted(parts, reverse=True)]

    def _row(self, begins: datetime, points: Sequence[StatPoint]) -> Row:
        waits = [point.wait_max_seconds for point in points if point.wait_max_seconds is not None]
        done, failed = sum(point.completed for point in points), sum(point.failed for point in points)
        return Row(begins, done, failed, max(waits, default=None))

    def _step_of(self, point: StatPoint) -> int:
        return max(0, int((point.at - self._since) / self._step))


def _rate(draw: _Drawing, kind: str) -> Chart:
    def finished(point: StatPoint) -> float:
        return point.completed + point.failed

    top = max(map(finished, draw.points), default=0)
    done, failed = sum(point.completed for point in draw.points), sum(point.failed for point in draw.points)
    summary = f"In the last {draw.hours} hours, {figure(done)} tasks completed and {figure(failed)} failed permanently."
    highest = f"{_per_minute(top / draw.minutes)} per minute at most" if top else NO_DATA
    series = (("bars", draw.bars(finished, top)), ("bars failed", draw.bars(lambda point: point.failed, top)))
    return Chart(f"{kind}-rate", f"Rate of {kind} tasks", f"{summary} {highest}.", highest, series)


def _wait(draw: _Drawing, kind: str) -> Chart:
    top = max((point.wait_max_seconds or 0 for point in draw.points), default=0)
    highest = f"{duration(top)} at most" if top else NO_DATA
    description = f"Wait time from due to start in the last {draw.hours} hours: {highest}."
    series = (
        ("bars faint", draw.bars(lambda point: point.wait_max_seconds or 0, top)),
        ("bars", draw.bars(lambda point: point.wait_mean_seconds or 0, top)),
    )
    return Chart(f"{kind}-wait", f"Wait time of {kind} tasks", description, highest, series)


def _per_minute(rate: float) -> str:
    return figure(rate) if rate >= 10 or rate == int(rate) else f"{rate:.1f}"  # noqa: PLR2004  (below, tenths matter)
