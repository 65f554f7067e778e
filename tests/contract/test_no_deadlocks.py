"""Overlapping syncs, cancellations and bulk upserts from twenty connections never end in a deadlock."""

import asyncio
import random

import asyncpg
from supabase import AsyncClient

from app.models.articles import Article, ArticleKind
from app.persistence.editions import Editions
from app.persistence.outcomes import Completed, Failed, Released
from app.persistence.queue import Progress
from app.persistence.tasks import TaskStateManager
from tests.contract.deadlocks import deadlocks
from tests.support.tasks import DAY, Claimer, insert_tasks

ROUNDS = 8
CALLERS = 20


async def work(client: AsyncClient, seed: int) -> None:
    """Claim tasks, report progress in another order and finish in a third, as overlapping workers do."""
    chance, worker = random.Random(seed), Claimer(client)
    for _ in range(ROUNDS):
        claimed = list(await worker.claim(10))
        chance.shuffle(claimed)
        await worker.sync(progress={task.lease: Progress("half", 0.5) for task in claimed})
        chance.shuffle(claimed)
        ends = (Completed({}), Released(), Failed("no", None))
        await worker.sync({task.lease: chance.choice(ends) for task in claimed})


async def cancel(client: AsyncClient, database: asyncpg.Connection, seed: int) -> None:
    chance = random.Random(seed)
    found = [row["task_id"] for row in await database.fetch("select task_id from public.tasks")]
    for task_id in chance.sample(found, 30):
        await TaskStateManager(client).cancel_task(task_id)


async def gather(client: AsyncClient, seed: int) -> None:
    articles = [Article(source="arxiv", external_id=str(n), kind=ArticleKind.PAPER, title="T") for n in range(200)]
    random.Random(seed).shuffle(articles)
    for _ in range(ROUNDS // 2):
        await Editions(client).save_articles(DAY, articles)


async def test_concurrent_calls_do_not_deadlock(client: AsyncClient, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 600)
    await database.execute("update public.tasks set callback_url = 'https://example.com/' where random() < 0.5")
    await Editions(client).begin_edition(DAY)
    before = await deadlocks(database)
    jobs = [work(client, seed) for seed in range(CALLERS)] + [gather(client, seed) for seed in range(CALLERS // 2)]
    await asyncio.gather(*jobs, cancel(client, database, 1))
    assert await deadlocks(database) == before
    assert await database.fetchval("select count(*) from public.articles") == 200
