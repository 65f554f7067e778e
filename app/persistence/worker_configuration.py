"""What each worker's settings lack, and the services that they name. Workers report it; operators see it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from app.persistence.errors import VOID
from app.persistence.repository import Repository


class WorkerConfiguration(Repository):
    """Records a worker's missing settings and its services. `Operator.workers` reads the former."""

    async def report(self, worker_id: UUID, not_configured: Mapping[str, str], services: Sequence[str]) -> None:
        """Record the worker's missing settings, each with its consequence, and the names of the services that it calls.

        The circuit breakers of services that no worker calls are removed later. Raises `SupabaseError`.
        """
        await self._call(
            "report_configuration",
            f"report the configuration of worker {worker_id}",
            VOID,
            p_worker=worker_id,
            p_not_configured=dict(not_configured),
            p_services=list(services),
        )
