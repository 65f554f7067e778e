"""What the service acknowledged during a soak, and so has to account for at its end."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx


@dataclass(frozen=True)
class Promise:
    """A task that the API acknowledged. `callback`: its end has to be reported to the receiver."""

    kind: str
    callback: bool = False


@dataclass
class Ledger:
    """All acknowledged things: tasks by id, readers, the DOIs that a reader liked, the entries of each import.

    `sign_ups` are the addresses whose sign-up was accepted, known or not, with the time. `statuses` counts the API's
    responses by status, `surprises` are those that nobody can explain by a fault.
    """

    tasks: dict[UUID, Promise] = field(default_factory=dict)
    readers: list[dict[str, Any]] = field(default_factory=list)
    liked: dict[UUID, set[str]] = field(default_factory=dict)
    imports: dict[UUID, int] = field(default_factory=dict)
    sign_ups: dict[str, float] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)

    def owe(self, answer: httpx.Response, *, callback: bool = False) -> UUID:
        """Record the task of a response, once however often the same task is acknowledged."""
        task = answer.json()
        self.tasks.setdefault(UUID(task["task_id"]), Promise(task["kind"], callback))
        return UUID(task["task_id"])
