"""What each minute brought, as workers report it: what they ended, how long that had waited, what the model cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from uuid import UUID

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.models import TaskKind
from app.persistence.errors import parsed, supabase_errors

_SECONDS = TypeAdapter(float)


@dataclass(slots=True)
class Ended:
    """What a worker ended of a kind: attempts, and what their digests cost; `sample` are tasks whose waits are told."""

    completed: int = 0
    failed: int = 0
    """For good."""
    retried: int = 0
    """Failed, with another attempt to come."""
    model_calls: int = 0
    model_failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    sample: tuple[UUID, ...] = ()


class TaskStats:
    """Takes workers' reports, and adds them to the minute (of the database's clock) in which they come."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def report(self, worker_id: UUID, number: int, ended: Mapping[TaskKind, Ended]) -> float:
        """Report what a worker ended since its last report; answers how many seconds of the minute have passed.

        `number` is one more with each report. The same one again counts once, an older one does not. Raises
        `SupabaseError`.
        """
        counts = [{"kind": kind.value, **_row(ended[kind])} for kind in sorted(ended)]
        parameters = {"p_worker": str(worker_id), "p_number": number, "p_counts": counts}
        with supabase_errors(f"report minute {number} of worker {worker_id}"):
            answer = await self._client.rpc("report_task_stats", parameters).execute()
        return parsed(_SECONDS, answer.data)


def _row(ended: Ended) -> dict[str, object]:
    return {**asdict(ended), "sample": [str(task_id) for task_id in ended.sample]}
