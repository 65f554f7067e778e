"""What a task's page shows in addition to its record."""

from dataclasses import dataclass
from typing import Final

from app.formatting import count_up_to, moment
from app.models.tasks import TaskStatus
from app.pages.ops.redaction import payload_text, redacted_url
from app.persistence.operator_tasks import TaskDetails

TRACE_ID: Final = "{trace_id}"
"""The place of the trace id in TRACE_URL."""

_MOST_COUNTED: Final = 1000
"""The SQL function `task_details` counts no more waiting tasks."""


@dataclass(frozen=True)
class DetailsView:
    """A task's details as texts. An empty text or None: there is nothing to show."""

    waiting: str
    waiting_tasks: str
    payload: str
    callback_url: str
    trace_url: str | None


def details_view(details: TaskDetails, trace_url: str | None) -> DetailsView:
    """Return the view of a task. `trace_url` is the setting TRACE_URL."""
    url, trace_id = details.task.callback_url, details.trace_id
    return DetailsView(
        waiting=_waiting(details),
        waiting_tasks=_waiting_tasks(details.waiting_tasks),
        payload="" if details.payload is None else payload_text(details.payload),
        callback_url=redacted_url(url) if url else "",
        trace_url=trace_url.replace(TRACE_ID, trace_id)
        if trace_url and trace_id and details.trace_is_recorded
        else None,
    )


def _waiting(details: TaskDetails) -> str:
    """Return what a pending task waits for."""
    task = details.task
    if task.status is not TaskStatus.PENDING:
        return ""
    if details.paused is not None:
        return f"The end of a pause: {details.paused}"
    if details.waits_for is not None:
        return f"The end of a {details.waits_for.kind} task, or {moment(task.run_at)}:"
    if task.run_at > details.at:
        return f"Its time, {moment(task.run_at)}."
    return "A worker: the task is ready."


def _waiting_tasks(number: int) -> str:
    if not number:
        return ""
    return f"{count_up_to(_MOST_COUNTED, number)} {'task waits' if number == 1 else 'tasks wait'} for this one."
