"""What each worker's settings lack, and the services that they name. Workers report it; operators see it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from supabase import AsyncClient

from app.persistence.errors import VOID, parsed, supabase_errors


class WorkerConfiguration:
    """Records a worker's missing settings and its services. `Operator.workers` reads the former."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def report(self, worker_id: UUID, not_configured: Mapping[str, str], services: Sequence[str]) -> None:
        """Record the worker's missing settings, each with its consequence, and the names of the services that it calls.

        The circuit breakers of services that no worker calls are removed later. Raises `SupabaseError`.
        """
        parameters = {
            "p_worker": str(worker_id),
            "p_not_configured": dict(not_configured),
            "p_services": list(services),
        }
        with supabase_errors(f"report the configuration of worker {worker_id}"):
            response = await self._client.rpc("report_configuration", parameters).execute()
        parsed(VOID, response.data)
