"""A random walk through a task's life on the emulator and on a simple Python model, which must always agree."""

import asyncio
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest
import uvloop
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.errors import NothingToDo, QuotaExceeded, TaskNotFound
from app.models.tasks import TaskKind
from app.persistence.new_task import NewTask
from app.persistence.operator import Actor, Operator
from app.persistence.outcomes import Cancelled, Completed, Failed, Outcome, Released, Snoozed
from app.persistence.queue import ClaimedTask, Progress, SyncResponse
from app.persistence.tasks import TaskStateManager
from embedded.stack import Ready
from tests.support.database_reset import database_reset
from tests.support.stack_process import settings_for
from tests.support.tasks import DAY, Claimer, verdict

T = TypeVar("T")
NOW = timedelta(0)
MAX_ATTEMPTS = 3
QUOTA = 4
OWNERS = st.sampled_from(["ada", "bot"])


@dataclass
class Model:
    """The expected task: the state diagram of docs/ARCHITECTURE.md in a few lines of Python."""

    status: str = "pending"
    attempt: int = 0
    holder: UUID | None = None
    last_token: UUID | None = None
    cancel: bool = False
    owner: str = "ada"
    replays: int = 0

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

    def replay(self) -> bool:
        if self.status != "failed":
            return False
        self.status, self.attempt, self.replays = "pending", 0, self.replays + 1
        self.cancel, self.holder, self.last_token = False, None, None
        return True

    def expire(self) -> None:
        self.last_token = None
        if self.cancel:
            self.status = "cancelled"
        else:
            self.status = "failed" if self.attempt >= MAX_ATTEMPTS else "pending"


@dataclass
class World:
    """The objects that all runs of the state machine share."""

    loop: asyncio.AbstractEventLoop
    client: AsyncClient
    database: asyncpg.Connection
    models: dict[UUID, Model] = field(default_factory=dict)


WORLD: list[World] = []
RECORDS = """
select r.task_id, r.owner, r.status, r.attempt, t.replays, t.status is not null as ended,
       q.task_id is not null and not q.dead_letter as queued
  from public.task_records r join public.tasks t using (task_id) left join public.queue q using (task_id)
"""
OUTCOMES = st.sampled_from(
    [Completed({"x": 1}), Failed("no", NOW), Failed("never", None), Snoozed(NOW, "later"), Released(), Cancelled()]
)


class TaskLife(RuleBasedStateMachine):
    """Two callers create and cancel tasks, a worker runs them and loses leases, an operator replays and pauses."""

    running = Bundle("running")

    @initialize()
    def begin(self) -> None:
        self.world = WORLD[0]
        self.world.models.clear()
        self.do(database_reset(self.world.database))
        self.worker, self.other = Claimer(self.world.client), Claimer(self.world.client)
        self.do(self.other.sync())
        self.do(self.worker.sync())
        self.paused = False
        self.ordered = {"ada": 0, "bot": 0}
        self.owners = deque(self.ordered)
        self.mine = f"worker_id = '{self.worker.worker_id}'"

    def do(self, awaitable: Awaitable[T]) -> T:
        return self.world.loop.run_until_complete(awaitable)

    @rule(owner=OWNERS, repeat=st.booleans())
    def create(self, owner: str, repeat: bool) -> None:
        task = NewTask(uuid4(), TaskKind.DIGEST, {}, DAY, max_attempts=MAX_ATTEMPTS)
        for _ in range(1 + repeat):
            try:
                self.do(self.tasks.create_tasks([task], owner=owner, daily_digests=QUOTA))
            except QuotaExceeded:
                assert self.ordered[owner] == QUOTA
                return
        self.ordered[owner] += 1
        assert self.ordered[owner] <= QUOTA
        self.world.models[task.task_id] = Model(owner=owner)

    @property
    def tasks(self) -> TaskStateManager:
        return TaskStateManager(self.world.client)

    @rule(pause=st.booleans(), repeat=st.booleans())
    def switch(self, pause: bool, repeat: bool) -> None:
        operator, actor = Operator(self.world.client), Actor(uuid4(), "root")
        for _ in range(1 + repeat):
            if pause:
                self.do(operator.pause(actor, TaskKind.DIGEST, "because"))
            elif self.paused:
                self.do(operator.resume(actor, TaskKind.DIGEST))
        self.paused = pause

    @rule(number=st.integers(0, 20), repeat=st.booleans())
    def replay(self, number: int, repeat: bool) -> None:
        if not self.world.models:
            return
        task_id = list(self.world.models)[number % len(self.world.models)]
        actor, done = Actor(uuid4(), "root"), self.world.models[task_id].replay()
        for _ in range(1 + repeat):
            try:
                self.do(Operator(self.world.client).replay(actor, task_id))
            except NothingToDo:
                assert not done
            else:
                assert done

    @rule()
    def replay_all(self) -> None:
        dead = sum(model.replay() for model in self.world.models.values())
        actor = Actor(uuid4(), "root")
        assert self.do(Operator(self.world.client).replay_dead(actor, TaskKind.DIGEST)).replayed == dead

    @rule(target=running, slots=st.integers(1, 3))
    def claim(self, slots: int) -> Any:
        pending = sum(model.status == "pending" for model in self.world.models.values()) * (not self.paused)
        claimed: tuple[ClaimedTask, ...] = self.do(self.worker.claim(slots))
        assert len(claimed) == min(slots, pending)
        for task in claimed:
            model = self.world.models[task.task_id]
            model.status, model.attempt = "running", model.attempt + 1
            model.holder = model.last_token = task.lease.lease_token
            assert task.attempt == model.attempt
        return multiple(*claimed)

    @rule(task=running, outcome=OUTCOMES, repeat=st.booleans())
    def finish(self, task: ClaimedTask, outcome: Outcome, repeat: bool) -> None:
        call = self.worker.queue.prepare(outcomes={task.lease: outcome}, slots=0)
        answer: SyncResponse = self.do(self.worker.queue.sync(call))
        if repeat:
            assert self.do(self.worker.queue.sync(call)) == answer
        assert verdict(answer) == self.world.models[task.task_id].apply(task.lease.lease_token, outcome)

    @rule(task=running)
    def show(self, task: ClaimedTask) -> None:
        model = self.world.models[task.task_id]
        answer: SyncResponse = self.do(self.worker.sync(progress={task.lease: Progress("half", 0.5)}))
        holds = model.status == "running" and model.holder == task.lease.lease_token
        assert (task.lease in answer.cancel) is (holds and model.cancel)
        shown = self.do(TaskStateManager(self.world.client).get_task(task.task_id)).progress
        assert not holds or shown == 0.5

    @rule(target=running)
    def lose(self) -> Any:
        """The worker sends no heartbeat for a lease, and another one syncs: all its running tasks are lost."""
        self.do(self.world.database.execute("update public.workers set seen_at = now() - lease * 0.5"))
        self.do(
            self.world.database.execute(f"update public.workers set seen_at = now() - lease * 1.1 where {self.mine}")
        )
        self.do(self.other.sync())
        for model in self.world.models.values():
            if model.status == "running":
                model.expire()
        assert self.do(self.worker.sync()).leases == ()
        return multiple()

    @rule(number=st.integers(0, 20), caller=OWNERS)
    def cancel(self, number: int, caller: str) -> None:
        if not self.world.models:
            return
        task_id = list(self.world.models)[number % len(self.world.models)]
        model = self.world.models[task_id]
        if model.owner != caller:
            for call in (self.tasks.cancel_task, self.tasks.get_task):
                with pytest.raises(TaskNotFound):
                    self.do(call(task_id, owner=caller))
            return
        if model.status in {"pending", "running"}:
            model.cancel = True
            model.status = "cancelled" if model.status == "pending" else model.status
        assert self.do(self.tasks.cancel_task(task_id, owner=caller)).status == model.status

    @invariant()
    def agrees(self) -> None:
        rows = self.do(self.world.database.fetch(RECORDS))
        found = {row["task_id"]: (row["owner"], row["status"], row["attempt"], row["replays"]) for row in rows}
        assert all(row["ended"] is not row["queued"] for row in rows), (
            "an end or a row in the queue, never both or none"
        )
        assert found == {
            task_id: (model.owner, model.status, model.attempt, model.replays)
            for task_id, model in self.world.models.items()
        }
        # One list after each step, both at the end: their calls are most of the walk's time.
        self.owners.rotate()
        self.list_agrees(self.owners[0])

    def list_agrees(self, owner: str) -> None:
        listed = {task.task_id for task in self.do(self.tasks.list_tasks(owner=owner, limit=100)).tasks}
        assert listed == {task_id for task_id, model in self.world.models.items() if model.owner == owner}

    def teardown(self) -> None:
        for owner in self.owners:
            self.list_agrees(owner)


def test_the_database_and_the_model_always_agree(stack: Ready) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
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
            # Without shrinking, which would repeat thousands of calls: the failed walk is short enough to read.
            phases=(Phase.generate,),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(TaskLife, settings=bounds)
        runner.run(database.close())
        runner.run(manager.__aexit__(None, None, None))  # type: ignore[attr-defined]  # (an async context manager)
