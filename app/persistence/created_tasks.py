"""The response of `create_tasks()`: tasks that were created, or those of an earlier request."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel

from app.errors import IdempotencyConflict
from app.models.tasks import Task
from app.persistence.new_task import NewTask


class CreatedTasks(BaseModel):
    """Whether the requested tasks were created (`created_at`), exist (`tasks`), or conflict with existing ones."""

    outcome: str
    created_at: datetime | None = None
    tasks: list[Task] = []

    def tasks_of(self, requested: Sequence[NewTask], owner: str) -> list[Task]:
        """Return the tasks of the request.

        Raises `IdempotencyConflict` if a key or id was used with a different request.
        """
        if self.outcome == "conflict":
            first = requested[0]
            name = f"The key {first.key.key!r}" if first.key else f"The id {first.task_id}"
            raise IdempotencyConflict(
                f"{name} belongs to task {self.tasks[0].task_id}, which has a different request: use a new key."
            )
        if self.created_at is not None:
            return [task.as_created(owner, self.created_at) for task in requested]
        return self.tasks
