"""A digest of the sample edition of `supabase/seed.sql`, as on a new local stack."""

import asyncpg
from supabase import AsyncClient

from app.models.tasks import TaskKind
from embedded.stack import Ready
from tests.integration.worker.whole_worker import settings_of, whole_worker
from tests.support.running_worker import until_ended
from tests.support.seed import DAY, apply_seed
from tests.support.stored_pages import stored_page
from tests.support.tasks import create

PROFILE = {"name": "Ada", "interests": ["graph neural networks"]}


async def test_a_seeded_stack_has_a_digest_without_a_fetch(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    await apply_seed(database)
    digest = await create(client, kind=TaskKind.DIGEST, source_date=DAY, payload={"profile": PROFILE})
    async with whole_worker(settings_of(stack)) as running:
        written = await until_ended(database, digest.task_id)
        await running.stop()
    assert written["status"] == "completed"
    page = await stored_page(database)
    assert "Graph neural networks that explain which neighbours they ignored" in page
    assert "Sample edition." in page
    assert await database.fetchval("select count(*) from public.tasks where kind = 'fetch'") == 0
