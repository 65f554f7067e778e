"""What workers lack in their settings, as each reports it of itself: operators see it beside the worker."""

from collections.abc import Mapping
from uuid import UUID

from supabase import AsyncClient

from app.persistence.errors import VOID, parsed, supabase_errors


class WorkerConfiguration:
    """Records what a worker lacks; `Operator` reads it with the workers."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def report(self, worker_id: UUID, not_configured: Mapping[str, str]) -> None:
        """Record the settings that the worker lacks, each with what does not work without it.

        Raises `SupabaseError`.
        """
        parameters = {"p_worker": str(worker_id), "p_not_configured": dict(not_configured)}
        with supabase_errors(f"report the configuration of worker {worker_id}"):
            answer = await self._client.rpc("report_configuration", parameters).execute()
        parsed(VOID, answer.data)
