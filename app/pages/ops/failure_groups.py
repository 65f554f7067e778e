"""The view of a group of permanently failed tasks."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.models.tasks import TaskKind
from app.pages.ops.charts import HEIGHT, WIDTH
from app.pages.ops.filters import list_url
from app.persistence.operator import FailureGroup

HOURS: Final = 24


@dataclass(frozen=True)
class GroupView:
    """A group of failures, with a chart of its last hours. Kinds that this code does not know have no actions."""

    group: FailureGroup
    chart: str
    recent: int
    actionable: bool
    tasks_url: str


def group_view(group: FailureGroup) -> GroupView:
    """Return the view of a group."""
    recent = sum(hour.tasks for hour in group.hours)
    return GroupView(
        group=group,
        chart=_bars(group, datetime.now(UTC)),
        recent=recent,
        actionable=group.kind in list(TaskKind),
        tasks_url=list_url("/ops/tasks", status="failed", kind=group.kind, cause=group.cause),
    )


def _bars(group: FailureGroup, now: datetime) -> str:
    """Return an SVG path with one bar an hour; the highest fills the height."""
    width, top = WIDTH / HOURS, max((hour.tasks for hour in group.hours), default=0)
    bars = []
    for hour in group.hours:
        place = HOURS - 1 - (now - hour.at) // timedelta(hours=1)
        if 0 <= place < HOURS:
            height = round(HEIGHT * hour.tasks / top, 1)
            bars.append(f"M{round(place * width, 2)} {HEIGHT}v-{height}h{round(width * 0.75, 2)}v{height}z")
    return "".join(bars)
