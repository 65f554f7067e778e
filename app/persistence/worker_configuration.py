"""The settings that are missing on each worker. Workers report them; operators see them in the list of workers."""

from collections.abc import Mapping
from uuid import UUID

from app.persistence.errors import VOID
from app.persistence.repository import Repository


class WorkerConfiguration(Repository):
    """Records a worker's missing settings. `Operator.workers` reads them."""

    async def report(self, worker_id: UUID, not_configured: Mapping[str, str]) -> None:
        """Record the worker's missing settings, each with its consequence.

        Raises `SupabaseError`.
        """
        await self._call(
            "report_configuration",
            f"report the configuration of worker {worker_id}",
            VOID,
            p_worker=worker_id,
            p_not_configured=dict(not_configured),
        )
