"""The benchmarks' PostgREST stub returns what the service can read, so that the benchmarks measure the real work."""

from datetime import timedelta
from uuid import UUID, uuid4

import httpx

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.models.tasks import TaskKind
from app.persistence.queue import SyncResponse, TaskQueue
from app.persistence.schema import Schema
from app.persistence.tasks import TaskStateManager
from benchmarks.stub import TASK_ID, running
from benchmarks.watched_api import rival


async def test_the_service_reads_every_response_of_the_stub() -> None:
    with running(0) as address:
        settings = SupabaseSettings.model_validate({"supabase_url": address, "supabase_key": "sb_secret_x"})
        async with open_supabase(settings) as client:
            await Schema(client).require()
            tasks = TaskStateManager(client)
            task = await tasks.get_task(UUID(TASK_ID))
            created = await tasks.create_task_with_source_date(
                task_id=UUID(TASK_ID), kind=TaskKind.DIGEST, payload={}, source_date=task.source_date
            )
            assert task.task_id == created.task_id == UUID(TASK_ID)
            lease = timedelta(seconds=60)
            queue = TaskQueue(client, worker_id=uuid4(), kinds=[TaskKind.DIGEST], lease=lease)
            assert await queue.sync(queue.prepare(outcomes={}, slots=1)) == SyncResponse(1)


async def test_a_compared_route_responds_like_the_services() -> None:
    with running(0) as address:
        app = rival("stock", address)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http,
        ):
            answer = await http.get(f"/v1/digests/{TASK_ID}")
    assert (answer.status_code, answer.json()["task_id"]) == (200, TASK_ID)
