"""The places of a worker: which claimed tasks run, which wait for a place, and how many the next call may claim."""

from collections import Counter, deque
from collections.abc import Collection, Mapping
from typing import Final

from app.models.tasks import TaskKind
from worker.job import Job
from worker.sync_calls import Slots

SHORT_TASK: Final = 0.02
"""Seconds. Tasks are claimed ahead only if the last tasks of their kind took no longer."""

ROUNDS: Final = 4
"""A worker holds at most so many tasks of a kind per place of the kind, those that run included."""

WAIT_LIMIT: Final = 0.25
"""Seconds that a claimed task waits for a place. Then the worker gives it back to the queue."""


class Places:
    """Counts the running tasks, at most `total` and `of_kind`, and keeps the claimed tasks that wait for a place.

    Tasks that end at once would leave their places empty during each call. So a call claims tasks ahead: up to twice as
    many of a kind as have ended since the last call, if these filled all places of the kind and all of them were short.
    """

    def __init__(self, total: int, of_kind: Mapping[TaskKind, int]) -> None:
        self.running = 0
        """The number of running tasks."""
        self._total = total
        self._of_kind = of_kind
        self._running_of = Counter[TaskKind]()
        self._waiting: dict[TaskKind, deque[Job]] = {}
        self._ended = Counter[TaskKind]()
        self._long: set[TaskKind] = set()

    def add(self, job: Job) -> None:
        """Let a claimed task wait for a place."""
        self._waiting.setdefault(job.task.kind, deque()).append(job)

    def next_job(self) -> Job | None:
        """Remove and return the next waiting task that has a place."""
        if self.running >= self._total:
            return None
        for kind, jobs in self._waiting.items():
            while jobs and jobs[0].running is not None:  # it was cancelled while it waited
                jobs.popleft()
            if jobs and self._running_of[kind] < self._capacity(kind):
                return jobs.popleft()
        return None

    def enter(self, job: Job) -> None:
        """Count a task that starts."""
        self.running += 1
        self._running_of[job.task.kind] += 1

    def leave(self, job: Job, seconds: float) -> None:
        """Count a task that has ended after `seconds`. A cancelled task does not show how long its kind takes."""
        kind = job.task.kind
        self.running -= 1
        self._running_of[kind] -= 1
        if seconds > SHORT_TASK:
            self._long.add(kind)
        elif job.abort is None:
            self._ended[kind] += 1

    def slots(self, held: Collection[Job]) -> Slots:
        """Return the slots of the next call of a worker that holds these tasks: in total, and of kinds with a limit."""
        ahead = self._claimed_ahead()
        held_of = Counter(job.task.kind for job in held)
        of_kind = {kind: max(0, n + ahead.get(kind, 0) - held_of[kind]) for kind, n in self._of_kind.items()}
        waiting = len(held) - self.running
        return Slots(max(0, self._total - self.running) + max(0, sum(ahead.values()) - waiting), of_kind)

    def _claimed_ahead(self) -> dict[TaskKind, int]:
        """Return how many tasks of each kind may wait for a place, and forget the tasks that decided it."""
        ended = {kind: n for kind, n in self._ended.items() if n >= self._capacity(kind) and kind not in self._long}
        self._ended.clear()
        self._long.clear()
        return {kind: (min(2 * n, ROUNDS * self._capacity(kind)) - self._capacity(kind)) for kind, n in ended.items()}

    def _capacity(self, kind: TaskKind) -> int:
        return min(self._total, self._of_kind.get(kind, self._total))
