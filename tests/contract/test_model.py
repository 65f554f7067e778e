"""A random walk through a task's life, against the stand-in and against a plain Python model: they never disagree."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from supabase import AsyncClient

from app.persistence.queue import Cancelled, ClaimedTask, Completed, Failed, Outcome, Released, Snoozed, SyncAnswer
from app.persistence.tasks import TaskStateManager
from app.supabase_client import open_supabase
from embedded.stack import Ready
from tests.conftest import settings_for
from tests.contract.helpers import Claimer, create, expire_lease

T = TypeVar("T")
NOW = timedelta(0)
MAX_ATTEMPTS = 3


@dataclass
class Model:
    """What a task should be: the picture in docs/ARCHITECTURE.md in a few lines of Python."""

    status: str = "pending"
    attempt: int = 0
    holder: UUID | None = None
    last_token: UUID | None = None
    cancel: bool = False

    def end_or_back(self, *, give_back: bool) -> None:
        self.attempt -= give_back and not self.cancel
        self.status = "cancelled" if self.cancel else "pending"

    def apply(self, token: UUID, outcome: Outcome) -> str:
        if self.status != "running" or self.holder != token:
            return "applied_already" if self.last_token == token else "lost"
        match outcome:
            case Completed():
                self.status = "completed"
            case Cancelled():
                self.status = "cancelled"
            case Failed(_, retry_in) if retry_in is None or self.attempt >= MAX_ATTEMPTS:
                self.status = "failed"
            case Failed():
                self.end_or_back(give_back=False)
            case Released() | Snoozed():
                self.end_or_back(give_back=True)
        return "applied"

    def expire(self) -> None:
        self.last_token = None
        if self.cancel:
            self.status = "cancelled"
        else:
            self.status = "failed" if self.attempt >= MAX_ATTEMPTS else "pending"


@dataclass
class World:
    """What the machine works on, shared by all of its runs."""

    loop: asyncio.AbstractEventLoop
    client: AsyncClient
    database: asyncpg.Connection
    models: dict[UUID, Model] = field(default_factory=dict)


WORLD: list[World] = []
OUTCOMES = st.sampled_from(
    [Completed({"x": 1}), Failed("no", NOW), Failed("never", None), Snoozed(NOW, "later"), Released(), Cancelled()]
)


class TaskLife(RuleBasedStateMachine):
    """Creates, claims, finishes, fails, snoozes, renews, expires, cancels and repeats, in any order."""

    held = Bundle("held")

    @initialize()
    def begin(self) -> None:
        self.world = WORLD[0]
        self.world.models.clear()
        self.do(self.world.database.execute("truncate public.tasks, public.workers"))
        self.worker, self.other = Claimer(self.world.client), Claimer(self.world.client)
        self.do(self.other.sync())

    def do(self, awaitable: Awaitable[T]) -> T:
        return self.world.loop.run_until_complete(awaitable)

    @rule()
    def create(self) -> None:
        task = self.do(create(self.world.client, task_id=uuid4(), max_attempts=MAX_ATTEMPTS))
        self.world.models[task.task_id] = Model()

    @rule(target=held, slots=st.integers(1, 3))
    def claim(self, slots: int) -> Any:
        pending = sum(model.status == "pending" for model in self.world.models.values())
        claimed: tuple[ClaimedTask, ...] = self.do(self.worker.claim(slots))
        assert len(claimed) == min(slots, pending)
        for task in claimed:
            model = self.world.models[task.task_id]
            model.status, model.attempt = "running", model.attempt + 1
            model.holder = model.last_token = task.lease_token
            assert task.attempt == model.attempt
        return multiple(*claimed)

    @rule(task=held, outcome=OUTCOMES, repeat=st.booleans())
    def finish(self, task: ClaimedTask, outcome: Outcome, repeat: bool) -> None:
        call = self.worker.queue.prepare(outcomes={task.lease: outcome}, renewals=(), slots=0)
        answer: SyncAnswer = self.do(self.worker.queue.sync(call))
        if repeat:
            assert self.do(self.worker.queue.sync(call)) == answer
        assert answer.outcomes[0].verdict == self.world.models[task.task_id].apply(task.lease_token, outcome)

    @rule(task=held)
    def renew(self, task: ClaimedTask) -> None:
        model = self.world.models[task.task_id]
        holds = model.status == "running" and model.holder == task.lease_token
        answer: SyncAnswer = self.do(self.worker.sync(renewals=[task.lease]))
        assert answer.lost == (() if holds else (task.lease,))
        assert (task.task_id in {lease.task_id for lease in answer.cancel}) is (
            model.status == "running" and model.cancel
        )

    @rule(task=consumes(held))
    def lose(self, task: ClaimedTask) -> None:
        model = self.world.models[task.task_id]
        if model.status == "running":
            self.do(expire_lease(self.world.database, task.task_id))
            self.do(self.other.sync())
            model.expire()

    @rule(number=st.integers(0, 20))
    def cancel(self, number: int) -> None:
        if not self.world.models:
            return
        task_id = list(self.world.models)[number % len(self.world.models)]
        model = self.world.models[task_id]
        if model.status in {"pending", "running"}:
            model.cancel = True
            model.status = "cancelled" if model.status == "pending" else model.status
        assert self.do(TaskStateManager(self.world.client).cancel_task(task_id)).status == model.status

    @invariant()
    def agrees(self) -> None:
        rows = self.do(self.world.database.fetch("select task_id, status, attempt from public.tasks"))
        found = {row["task_id"]: (row["status"], row["attempt"]) for row in rows}
        assert found == {task_id: (model.status, model.attempt) for task_id, model in self.world.models.items()}


def test_the_database_and_the_model_never_disagree(stack: Ready) -> None:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        async def opened() -> tuple[object, AsyncClient, asyncpg.Connection]:
            manager = open_supabase(settings_for(stack))
            return manager, await manager.__aenter__(), await asyncpg.connect(stack.database_url)

        manager, client, database = runner.run(opened())
        WORLD[:] = [World(loop, client, database)]
        bounds = settings(
            max_examples=40,
            stateful_step_count=30,
            derandomize=True,
            # Shrinking a failure would repeat thousands of calls: the walk that failed is short enough to read.
            phases=(Phase.generate,),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(TaskLife, settings=bounds)
        runner.run(database.close())
        runner.run(manager.__aexit__(None, None, None))  # type: ignore[attr-defined]  # (an async context manager)
