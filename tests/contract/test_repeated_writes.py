"""For every method: a write that is sent twice, or whose first response is lost, has the effect of one."""

import inspect

import pytest
from supabase import AsyncClient

from app.persistence.cache import HybridCache
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.condition_states import ConditionStates
from app.persistence.confirmations import Confirmations
from app.persistence.deliveries import Deliveries
from app.persistence.digests import Digests
from app.persistence.editions import Editions
from app.persistence.ended_sessions import EndedSessions
from app.persistence.health import Health
from app.persistence.imports import Imports
from app.persistence.items import Items
from app.persistence.library_syncs import LibrarySyncs
from app.persistence.maintenance import Maintenance
from app.persistence.operator import Operator
from app.persistence.own_data import OwnData
from app.persistence.queue import TaskQueue
from app.persistence.rate_limits import DistributedRateLimiter
from app.persistence.reader_libraries import ReaderLibraries
from app.persistence.reader_papers import ReaderPapers
from app.persistence.readers import Readers
from app.persistence.readers_file import ReadersFile
from app.persistence.schedule import Schedule
from app.persistence.sign_ups import SignUps
from app.persistence.task_stats import TaskStats
from app.persistence.tasks import TaskStateManager
from app.persistence.uploads import Uploads
from app.persistence.watched_tasks import WatchedTasks
from app.persistence.worker_configuration import WorkerConfiguration
from embedded.stack import Ready
from tests.contract.write_scenarios import ONCE, SCENARIOS
from tests.support.database_reset import DatabaseCleaner
from tests.support.tasks import EVERYTHING, LosingTransport, comparable

CLASSES = (
    *(TaskStateManager, TaskQueue, Digests, Editions, Items, HybridCache, CircuitBreakers, Maintenance),
    *(DistributedRateLimiter, WatchedTasks, Operator, Readers, ReaderPapers, Schedule, Deliveries),
    *(TaskStats, EndedSessions, WorkerConfiguration, Uploads, Imports, ReadersFile, Health, ConditionStates, OwnData),
    *(ReaderLibraries, LibrarySyncs, Confirmations, SignUps),
)


def test_every_persistence_method_has_a_scenario() -> None:
    methods = {
        f"{owner.__name__}.{name}"
        for owner in CLASSES
        for name, method in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_") and (inspect.iscoroutinefunction(method) or hasattr(method, "__wrapped__"))
    }
    assert methods <= SCENARIOS.keys()
    assert {SCENARIOS[name] for name in ONCE} == set(SCENARIOS.values())


@pytest.mark.parametrize("name", ONCE)
async def test_a_repeated_write_has_the_effect_of_one(
    name: str,
    client: AsyncClient,
    losing_client: AsyncClient,
    losing_transport: LosingTransport,
    stack: Ready,
    database_cleaner: DatabaseCleaner,
) -> None:
    """Repeated by its caller, and by the client after a lost response.

    Each identical request arrives four times: a fault that undoes every other write shows after an even number.
    """
    effects = []
    for each, times in ((client, 1), (losing_client, 3)):
        database_cleaner.empty(stack.database_url)
        await SCENARIOS[name](each, times)
        effects.append(comparable(database_cleaner.value(stack.database_url, EVERYTHING)))
    once, repeated = effects
    assert repeated == once
    assert losing_transport.lost > 0
