"""The settings that are missing on each worker. Workers report them; operators see them in the list of workers."""

from collections.abc import Mapping
from uuid import UUID

from supabase import AsyncClient

from app.persistence.errors import VOID, parsed, supabase_errors


class WorkerConfiguration:
    """Records a worker's missing settings. `Operator.workers` reads them."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def report(self, worker_id: UUID, not_configured: Mapping[str, str]) -> None:
        """Record the worker's missing settings, each with its consequence.

        Raises `SupabaseError`.
        """
        parameters = {"p_worker": str(worker_id), "p_not_configured": dict(not_configured)}
        with supabase_errors(f"report the configuration of worker {worker_id}"):
            response = await self._client.rpc("report_configuration", parameters).execute()
        parsed(VOID, response.data)
