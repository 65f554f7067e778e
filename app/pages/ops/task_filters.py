"""The filters of the list of tasks, and the list that they select."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final, Self

from fastapi import Request

from app.models.tasks import TaskKind, TaskStatus
from app.pages.ops.filters import day_filter, list_url, selected, text_filter
from app.pages.ops.overview import KINDS
from app.persistence.json_values import clean_text
from app.persistence.tasks import TaskPage
from app.services import Services

TASKS: Final = "/ops/tasks"
STATUSES: Final = tuple(status.value for status in TaskStatus)
MAX_CAUSE: Final = 300
"""Characters of a group's cause; the database computes at most as many."""


@dataclass(frozen=True)
class TaskFilters:
    """The filters of a request; None selects all. `text` is a part of the error, `cause` is that of a group."""

    kind: str | None
    status: str | None
    owner: str | None
    day: date | None
    text: str | None
    cause: str | None

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the filters of a request."""
        cause = request.query_params.get("cause")
        return cls(
            kind=selected(request, "kind", KINDS),
            status=selected(request, "status", STATUSES),
            owner=text_filter(request, "owner"),
            day=day_filter(request, "day"),
            text=text_filter(request, "text"),
            # A cause may be empty, or end with a space.
            cause=None if cause is None else clean_text(cause)[:MAX_CAUSE],
        )

    @property
    def shows_groups(self) -> bool:
        """Whether the page shows the groups of failures: they have no owner, day or text."""
        return self.status == TaskStatus.FAILED and (self.owner, self.day, self.text, self.cause) == (None,) * 4

    def url(self, cursor: str | None) -> str | None:
        """Return the URL of the page at `cursor`; None if there is none."""
        if cursor is None:
            return None
        values = asdict(self) | {"day": str(self.day) if self.day else None}
        return list_url(TASKS, **values, cursor=cursor)

    async def read(self, services: Services, cursor: str | None) -> TaskPage:
        """List failures, the newest first, if the filters select them; else tasks, the newest first."""
        common: dict[str, Any] = {
            "owner": self.owner,
            "source_date": self.day,
            "kind": TaskKind(self.kind) if self.kind else None,
            "status": TaskStatus(self.status) if self.status else None,
            "cursor": cursor,
        }
        if self.status == TaskStatus.FAILED or self.text is not None or self.cause is not None:
            return await services.operator_tasks.list_failures(**common, text=self.text, cause=self.cause)
        return await services.tasks.list_tasks(**common)
