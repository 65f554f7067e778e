"""Statistics per minute, reported by workers: tasks that ended, their waits, and the use of the language model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from uuid import UUID

from app.models.tasks import TaskKind
from app.persistence.repository import Repository


@dataclass(slots=True)
class TaskCounts:
    """A worker's ended attempts of a kind, and their use of the model. `sample` has the tasks whose waits count."""

    completed: int = 0
    failed: int = 0
    """Permanently."""
    retried: int = 0
    """Failed, with another attempt to come."""
    model_calls: int = 0
    model_failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    model_fallbacks: dict[str, int] = field(default_factory=dict)
    """Items with an excerpt instead of the model's summary, by `FallbackReason`."""
    sample: tuple[UUID, ...] = ()


class TaskStats(Repository):
    """Adds workers' reports to the minute (by the database's clock) in which they arrive."""

    async def report(self, worker_id: UUID, number: int, ended: Mapping[TaskKind, TaskCounts]) -> float:
        """Report a worker's ended tasks since its last report. Returns the seconds that have passed in this minute.

        `number` increases by one with each report. A repeated number counts once, a lower one is ignored. Raises
        `SupabaseError`.
        """
        counts = [{"kind": kind.value, **_row(ended[kind])} for kind in sorted(ended)]
        action = f"send task statistics {number} of worker {worker_id}"
        return await self._call(
            "report_task_stats", action, float, p_worker=worker_id, p_number=number, p_counts=counts
        )


def _row(ended: TaskCounts) -> dict[str, object]:
    return {**asdict(ended), "sample": [str(task_id) for task_id in ended.sample]}
