"""More kinds of call that write several rows: fetches, operators' actions, retention and workers' reports."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from app.errors import CircuitOpen, DeliveryNotFound, LeaseLost, NothingToDo, NotInDoubt, ReaderNotFound, TaskNotFound
from app.models.articles import Article, ArticleKind, EditionStatus
from app.models.tasks import TaskKind, TaskStatus
from app.persistence.cache import HybridCache
from app.persistence.circuit_breaker import BreakerSettings, CircuitBreakers
from app.persistence.condition_states import ConditionStates
from app.persistence.deliveries import Deliveries, DeliveryStatus
from app.persistence.editions import Editions, Reading
from app.persistence.health import Health
from app.persistence.maintenance import Maintenance
from app.persistence.operator import Actor, Operator
from app.persistence.rate_limits import DistributedRateLimiter
from app.persistence.task_stats import TaskCounts, TaskStats
from app.persistence.tasks import TaskStateManager
from app.persistence.worker_configuration import WorkerConfiguration
from tests.contract.writers import Writer, Writing
from tests.support.tasks import DAY

SOURCES: Final = ["arxiv", "biorxiv", "feed:x"]
NOTHING: Final = (NothingToDo, TaskNotFound, NotInDoubt, DeliveryNotFound, ReaderNotFound)


async def fetches(writing: Writing) -> None:
    """Read one day, as workers with an expired lease and their successors do at once."""
    editions, day = Editions(writing.client), DAY + timedelta(days=writing.chance.randrange(2))
    task = await TaskStateManager(writing.client).ensure_fetch(day)
    await editions.begin_edition(day)
    found = [
        Article(source=s, external_id=str(n), kind=ArticleKind.PAPER, title=f"T{n}") for s in SOURCES for n in "12"
    ]
    await editions.save_articles(day, writing.shuffled(*found)[:4])
    now = datetime.now(UTC)
    readings = [Reading(source, now, items=1) for source in writing.shuffled(*SOURCES)]
    await editions.record_readings(day, task.task_id, now, readings)
    await editions.finish_edition(day, EditionStatus.COMPLETED, {}, SOURCES)


async def operates(writing: Writing) -> None:
    operator = Operator(writing.client)
    callbacks, failed, running = [
        writing.shuffled(*(await TaskStateManager(writing.client).list_tasks(limit=50, **filters)).tasks)[:3]
        for filters in ({"kind": TaskKind.CALLBACK}, {"status": TaskStatus.FAILED}, {"status": TaskStatus.RUNNING})
    ]
    actions = [(operator.redeliver, callbacks), (operator.replay, failed), (operator.cancel, running)]
    for action, tasks in writing.shuffled(*actions):
        for task in tasks:
            with suppress(*NOTHING):
                await action(_root(), task.task_id)
    for delivery in writing.shuffled(*(await Deliveries(writing.client).page(None)).deliveries)[:4]:
        with suppress(*NOTHING):
            await Deliveries(writing.client).resolve(delivery.delivery_id, DeliveryStatus.PENDING, by="ada")
    for kind in writing.shuffled(*TaskKind)[:2]:
        await operator.discard(_root(), kind, "no", step=2)


def _root() -> Actor:
    return Actor(uuid4(), "root")


async def pauses(writing: Writing) -> None:
    operator = Operator(writing.client)
    for kind in writing.shuffled(*TaskKind)[:3]:
        with suppress(*NOTHING):
            await operator.pause(_root(), kind, "because")
            await operator.resume(_root(), kind)


async def reports(writing: Writing) -> None:
    worker, kinds = uuid4(), writing.shuffled(*TaskKind)[:3]
    await WorkerConfiguration(writing.client).report(worker, {}, SOURCES)
    await TaskStats(writing.client).report(worker, 1, {kind: TaskCounts(completed=1) for kind in kinds})
    for task in writing.shuffled(*writing.running_tasks)[:4]:
        with suppress(LeaseLost, TaskNotFound):
            tasks, token = TaskStateManager(writing.client), task.lease.lease_token
            await tasks.update_task(task.task_id, lease_token=token, message="half", progress=0.5)
    breakers = CircuitBreakers(writing.client, BreakerSettings(threshold=1, open_for=timedelta(0)))
    for name in writing.shuffled(*SOURCES):
        for error in (ValueError("down"), None, None):
            with suppress(ValueError, CircuitOpen):
                async with breakers.guard(name):
                    if error is not None:
                        raise error
        token = uuid4()
        await DistributedRateLimiter(writing.client).acquire(name, token, interval=0, hold=1)
        await DistributedRateLimiter(writing.client).release(name, token, pause=0)
        await HybridCache(writing.client).put(name, {})
    states = ConditionStates(writing.client)
    for callback in await states.update(uuid4(), [{"name": name} for name in writing.shuffled("a", "b", "c")]):
        await states.confirm(callback)
    await Health(writing.client).refresh_delivery_rate()


async def prunes(writing: Writing) -> None:
    maintenance = Maintenance(writing.client, batch=5)
    await maintenance.prune_sign_ups()
    await maintenance.prune_records(delivery_days=1, audit_days=1)


SERVICE_WRITERS: Final[tuple[Writer, ...]] = (fetches, operates, pauses, reports, prunes)
