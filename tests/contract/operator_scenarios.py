"""The operators' scenarios of `test_repeated_writes.py`: their actions, their views, and workers' reports."""

from datetime import timedelta

from supabase import AsyncClient

from app.models.tasks import TaskKind, TaskStatus
from app.persistence.condition_states import ConditionStates
from app.persistence.ended_sessions import EndedSessions
from app.persistence.health import Health
from app.persistence.operator import Actor, Operator
from app.persistence.operator_tasks import OperatorTasks
from app.persistence.outcomes import Completed, Failed
from app.persistence.task_stats import TaskCounts, TaskStats
from app.persistence.tasks import TaskStateManager
from tests.contract.scenarios import OTHER, TASK, WORKER, claimed, scenario, send
from tests.support.tasks import create

ACTOR = Actor(OTHER, "root")


@scenario("EndedSessions.end", "EndedSessions.has_ended")
async def ending_a_session(client: AsyncClient, times: int) -> None:
    sessions = EndedSessions(client)
    assert not await sessions.has_ended("one")
    for _ in range(times):
        await sessions.end("one", ttl=timedelta(hours=1))
        assert (await sessions.has_ended("one"), await sessions.has_ended("other")) == (True, False)
    await sessions.end("over", ttl=timedelta(0))
    assert not await sessions.has_ended("over")


async def died(client: AsyncClient, *, callback_url: str | None = None) -> None:
    await create(client, task_id=TASK, callback_url=callback_url)
    queue, lease = await claimed(client)
    await send(queue, queue.prepare(outcomes={lease: Failed("broken", None)}, slots=0), 1)


@scenario(
    *(f"Operator.{name}" for name in ("replay", "workers", "orphaned_tasks", "audit_entries", "overview")),
    "Health.facts",
)
async def replaying(client: AsyncClient, times: int) -> None:
    await died(client)
    operator = Operator(client)
    for _ in range(times):
        assert (await operator.replay(ACTOR, TASK)).status is TaskStatus.PENDING
        assert (len(await operator.workers()), (await operator.orphaned_tasks()).task_ids) == (1, ())
        assert [entry.action for entry in (await operator.audit_entries()).entries] == ["replay"]
        assert len((await operator.overview()).workers) == 1
        assert len((await Health(client).facts()).workers) == 1


@scenario("ConditionStates.update", "ConditionStates.confirm", "Health.refresh_delivery_rate")
async def reporting_conditions(client: AsyncClient, times: int) -> None:
    states = ConditionStates(client)
    (callback,) = await states.update(OTHER, [{"name": "no_worker"}])
    for _ in range(times):
        assert await states.update(OTHER, [{"name": "no_worker"}]) == [callback]
    for _ in range(times):
        await states.confirm(callback)
        await Health(client).refresh_delivery_rate()


@scenario("TaskStats.report")
async def reporting_minutes(client: AsyncClient, times: int) -> None:
    task, minutes = await create(client, task_id=TASK), TaskStats(client)
    queue, lease = await claimed(client)
    await send(queue, queue.prepare(outcomes={lease: Completed({})}, slots=0), 1)
    ended = {TaskKind.FETCH: TaskCounts(completed=1, input_tokens=7, sample=(task.task_id,))}
    for number in (1, 2):
        for _ in range(times):
            assert 0 <= await minutes.report(WORKER, number, ended) < 60
    # An older report that was delayed.
    await minutes.report(WORKER, 1, ended)


@scenario("Operator.replay_dead")
async def replaying_all(client: AsyncClient, times: int) -> None:
    await died(client)
    for _ in range(times):
        assert (await Operator(client).replay_dead(ACTOR, TaskKind.FETCH, step=1)).replayed == 1


@scenario("Operator.discard", "Operator.failure_groups")
async def discarding(client: AsyncClient, times: int) -> None:
    await died(client)
    operator = Operator(client)
    (group,) = await operator.failure_groups()
    for _ in range(times):
        assert (await operator.discard(ACTOR, TaskKind.FETCH, group.cause)).discarded == 1
    assert await operator.failure_groups() == []


@scenario("OperatorTasks.details", "OperatorTasks.list_failures")
async def looking_at_a_failure(client: AsyncClient, times: int) -> None:
    await died(client)
    for _ in range(times):
        assert [task.task_id for task in (await OperatorTasks(client).list_failures()).tasks] == [TASK]
        assert [attempt.error for attempt in (await OperatorTasks(client).details(TASK)).attempts] == ["broken"]


@scenario("Operator.redeliver")
async def redelivering(client: AsyncClient, times: int) -> None:
    await died(client, callback_url="https://example.com/")
    (callback,) = (await TaskStateManager(client).list_tasks(kind=TaskKind.CALLBACK)).tasks
    for _ in range(times):
        await Operator(client).redeliver(ACTOR, callback.task_id)


@scenario("Operator.cancel")
async def cancelling_anothers(client: AsyncClient, times: int) -> None:
    await create(client, task_id=TASK)
    for _ in range(times):
        assert (await Operator(client).cancel(ACTOR, TASK)).status is TaskStatus.CANCELLED


@scenario("Operator.pause", "Operator.resume", "Operator.pauses")
async def pausing(client: AsyncClient, times: int) -> None:
    operator = Operator(client)
    made = [await operator.pause(ACTOR, TaskKind.FETCH, "because") for _ in range(times)]
    pause = made[0]
    assert (pause.actor, pause.reason) == ("root", "because")
    assert await operator.pauses() == [pause]
    for _ in range(times):
        assert (await operator.resume(Actor(TASK, "root"), TaskKind.FETCH)).started_at == pause.started_at
    assert await operator.pauses() == []
