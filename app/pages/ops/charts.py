"""The last hours as small charts, drawn here as SVG paths, and the same as a table for who does not see them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.pages.formatting import duration, figure
from app.persistence.overview import StatPoint, StatSeries

WIDTH: Final = 240
HEIGHT: Final = 48
ROWS: Final = 12
"""Of the table: the chart's steps put local_service."""

NOTHING: Final = "nothing yet"
_BAR: Final = 0.75
"""Of a step's width; the rest is air."""


@dataclass(frozen=True)
class Chart:
    """Bars over time, one set before the other, and what they say in words."""

    name: str
    title: str
    description: str
    highest: str
    sets: tuple[tuple[str, str], ...]
    """The class and the path of each set."""


@dataclass(frozen=True)
class Row:
    """A part of the last hours: `wait` is the longest, in seconds, where one is known."""

    begins: datetime
    completed: int
    failed: int
    wait: float | None


@dataclass(frozen=True)
class KindCharts:
    """What became of a kind's tasks, and how long they waited."""

    rate: Chart
    wait: Chart
    rows: tuple[Row, ...]


def charts_of(series: StatSeries, kind: str) -> KindCharts:
    """Draw a kind's last hours."""
    points = next((each.points for each in series.kinds if each.kind == kind), ())
    draw = _Drawing(series, points)
    return KindCharts(_rate(draw, kind), _wait(draw, kind), tuple(draw.rows()))


class _Drawing:
    """The points of one kind, each in its step's place."""

    def __init__(self, series: StatSeries, points: Sequence[StatPoint]) -> None:
        self._since = series.since
        self._step = timedelta(seconds=series.step_seconds)
        self._steps = max([120, *(self._place(point) + 1 for point in points)])
        self.points = points
        self.minutes = series.step_seconds / 60
        self.hours = figure(self._steps * series.step_seconds / 3600)

    def bars(self, value: Callable[[StatPoint], float], top: float) -> str:
        """A path of a bar for each point, `top` as high as the chart."""
        wide = WIDTH / self._steps
        bars = []
        for point in self.points:
            high = round(HEIGHT * value(point) / top, 1) if top else 0
            if high > 0:
                x = round(self._place(point) * wide, 2)
                bars.append(f"M{x} {HEIGHT}v-{high}h{round(wide * _BAR, 2)}v{high}z")
        return "".join(bars)

    def rows(self) -> list[Row]:
        """The points put local_service, the last hours first."""
        size = self._steps // ROWS
        parts: dict[int, list[StatPoint]] = {}
        for point in self.points:
            parts.setdefault(self._place(point) // size, []).append(point)
        return [self._row(self._since + self._step * size * part, parts[part]) for part in sorted(parts, reverse=True)]

    def _row(self, begins: datetime, points: Sequence[StatPoint]) -> Row:
        waits = [point.wait_max_seconds for point in points if point.wait_max_seconds is not None]
        done, failed = sum(point.completed for point in points), sum(point.failed for point in points)
        return Row(begins, done, failed, max(waits, default=None))

    def _place(self, point: StatPoint) -> int:
        return max(0, int((point.at - self._since) / self._step))


def _rate(draw: _Drawing, kind: str) -> Chart:
    def ended(point: StatPoint) -> float:
        return point.completed + point.failed

    top = max(map(ended, draw.points), default=0)
    done, failed = sum(point.completed for point in draw.points), sum(point.failed for point in draw.points)
    said = f"In the last {draw.hours} hours {figure(done)} were done and {figure(failed)} failed for good."
    highest = f"{_per_minute(top / draw.minutes)} a minute at most" if top else NOTHING
    sets = (("bars", draw.bars(ended, top)), ("bars wrong", draw.bars(lambda point: point.failed, top)))
    return Chart(f"{kind}-rate", f"Rate of {kind} tasks", f"{said} {highest}.", highest, sets)


def _wait(draw: _Drawing, kind: str) -> Chart:
    top = max((point.wait_max_seconds or 0 for point in draw.points), default=0)
    highest = f"{duration(top)} at most" if top else NOTHING
    said = f"How long tasks waited until they were begun in the last {draw.hours} hours: {highest}."
    sets = (
        ("bars faint", draw.bars(lambda point: point.wait_max_seconds or 0, top)),
        ("bars", draw.bars(lambda point: point.wait_mean_seconds or 0, top)),
    )
    return Chart(f"{kind}-wait", f"Waiting time of {kind} tasks", said, highest, sets)


def _per_minute(rate: float) -> str:
    return figure(rate) if rate >= 10 or rate == int(rate) else f"{rate:.1f}"  # noqa: PLR2004  (below, a tenth counts)
