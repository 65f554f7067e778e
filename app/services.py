"""Constructs the persistence classes that both processes use, on one client."""

from dataclasses import dataclass
from typing import Self

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
from app.persistence.operator_tasks import OperatorTasks
from app.persistence.own_data import OwnData
from app.persistence.rate_limits import DistributedRateLimiter
from app.persistence.reader_libraries import ReaderLibraries
from app.persistence.reader_papers import ReaderPapers
from app.persistence.readers import Readers
from app.persistence.readers_file import ReadersFile
from app.persistence.schedule import Schedule
from app.persistence.schema import Schema
from app.persistence.sign_ups import SignUps
from app.persistence.task_stats import TaskStats
from app.persistence.tasks import TaskStateManager
from app.persistence.uploads import Uploads
from app.persistence.worker_configuration import WorkerConfiguration


@dataclass(frozen=True)
class Services:
    """The persistence classes for the API's routes and the worker's handlers; all use one client."""

    schema: Schema
    tasks: TaskStateManager
    digests: Digests
    editions: Editions
    items: Items
    cache: HybridCache
    breakers: CircuitBreakers
    maintenance: Maintenance
    task_stats: TaskStats
    operator: Operator
    operator_tasks: OperatorTasks
    health: Health
    condition_states: ConditionStates
    rate_limits: DistributedRateLimiter
    readers: Readers
    readers_file: ReadersFile
    confirmations: Confirmations
    sign_ups: SignUps
    reader_papers: ReaderPapers
    schedule: Schedule
    deliveries: Deliveries
    ended_sessions: EndedSessions
    worker_configuration: WorkerConfiguration
    uploads: Uploads
    imports: Imports
    own_data: OwnData
    libraries: ReaderLibraries
    library_syncs: LibrarySyncs

    @classmethod
    def build(cls, client: AsyncClient) -> Self:
        """Construct all of them on `client`."""
        return cls(
            schema=Schema(client),
            tasks=TaskStateManager(client),
            digests=Digests(client),
            editions=Editions(client),
            items=Items(client),
            cache=HybridCache(client),
            breakers=CircuitBreakers(client),
            maintenance=Maintenance(client),
            task_stats=TaskStats(client),
            operator=Operator(client),
            operator_tasks=OperatorTasks(client),
            health=Health(client),
            condition_states=ConditionStates(client),
            rate_limits=DistributedRateLimiter(client),
            readers=Readers(client),
            readers_file=ReadersFile(client),
            confirmations=Confirmations(client),
            sign_ups=SignUps(client),
            reader_papers=ReaderPapers(client),
            schedule=Schedule(client),
            deliveries=Deliveries(client),
            ended_sessions=EndedSessions(client),
            worker_configuration=WorkerConfiguration(client),
            uploads=Uploads(client),
            imports=Imports(client),
            own_data=OwnData(client),
            libraries=ReaderLibraries(client),
            library_syncs=LibrarySyncs(client),
        )
