"""Digests: CPU time, memory and calls per digest of an edition of 500 papers, without a model.

docs/PERFORMANCE.md sizes machines with these figures.
"""

import random
import re
from datetime import UTC, date, datetime
from uuid import uuid4

import asyncpg
import httpx
import uvloop
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.models.articles import Article, ArticleKind, EditionStatus
from app.models.tasks import TaskKind
from app.persistence.editions import Editions
from app.persistence.new_task import NewTask
from app.persistence.tasks import TaskStateManager
from benchmarks.cpu import EmulatorProcesses, seconds_of
from benchmarks.processes import child, emulator, resident_mb
from benchmarks.queue import until
from benchmarks.report import save, show
from benchmarks.start import environment, until_answered
from embedded.loopback import free_port
from embedded.sample.edition import SampleEdition

DAY = date(2026, 11, 22)
PAPERS, DIGESTS, AT_ONCE = 500, 200, 10
SLOTS = {"CONCURRENCY": str(AT_ONCE + 4), "CALLBACK_SLOTS": "1"}
"""Each kind of task has separate slots: these settings leave `AT_ONCE` slots for digests."""

INTERESTS = ("graph neural networks", "robustness", "protein structure", "reasoning", "diffusion models", "privacy")
DONE = """
    select (select count(*) from public.digests) as digests,
           (select sum(length(digest::text)) from public.digests) as bytes,
           extract(epoch from max(finished_at) - min(started_at)) as seconds
      from public.tasks"""
CALLS = re.compile(r'broadsheet_supabase_calls_total\{outcome="[^"]*"\} (\S+)')


def edition() -> list[Article]:
    """Different papers made of the sample's shuffled titles and sentences."""
    dice, papers = random.Random(1), SampleEdition().papers
    words = [word for paper in papers for word in paper.title.split()]
    sentences = [sentence for paper in papers for sentence in paper.abstract.split(". ")]
    return [
        Article(
            source="arxiv",
            external_id=f"2513.{number:05d}",
            kind=ArticleKind.PAPER,
            title=" ".join(dice.sample(words, 9)),
            abstract=". ".join(dice.sample(sentences, 8)),
            authors=dice.choice(papers).authors,
            url=f"https://example.org/abs/2513.{number:05d}",
            categories=dice.choice(papers).categories,
            published_at=datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC),
        )
        for number in range(PAPERS)
    ]


async def store(client: AsyncClient) -> None:
    """Store the edition."""
    daily = Editions(client)
    await daily.begin_edition(DAY)
    await daily.save_articles(DAY, edition())
    await daily.finish_edition(DAY, EditionStatus.COMPLETED, {})


def new_digests() -> list[NewTask]:
    """One digest task per reader; neighbouring readers have different interests."""
    profiles = [
        {"name": f"Reader {number}", "interests": [INTERESTS[number % 6], INTERESTS[number // 6 % 6]]}
        for number in range(DIGESTS)
    ]
    return [NewTask(uuid4(), TaskKind.DIGEST, {"profile": profile}, DAY) for profile in profiles]


def calls_made(port: int) -> float:
    """A worker's calls to Supabase, from its metrics."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    return sum(float(count) for count in CALLS.findall(text))


async def measure() -> dict[str, float]:
    """Let one idle worker process write all digests; returns figures per digest, including the edition's index."""
    with emulator() as ready:
        settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
        database = await asyncpg.connect(ready.database_url)
        async with open_supabase(settings) as client:
            await store(client)
            port = free_port()
            keys = {"SUPABASE_KEY": ready.secret_key, "WORKER_PORT": str(port)} | SLOTS
            with child("worker", env=environment(ready.url) | keys, quiet=True) as worker:
                until_answered(f"http://127.0.0.1:{port}/healthz")
                processes = EmulatorProcesses(database)
                cpu, calls, others = seconds_of(worker.pid), calls_made(port), processes.cpu()
                await TaskStateManager(client).create_tasks(new_digests())
                await until(database, "select not exists (select from public.queue)")
                cpu, calls = seconds_of(worker.pid) - cpu, calls_made(port) - calls
                others, memory = processes.cpu().since(others), resident_mb(worker.pid)
        done = await database.fetchrow(DONE)
        await database.close()
    assert done["digests"] == DIGESTS, f"{done['digests']} of {DIGESTS} digests were written: see the tasks' errors"
    return {
        "digests_per_second": DIGESTS / float(done["seconds"]),
        "worker_cpu_ms": cpu / DIGESTS * 1e3,
        "gateway_cpu_ms": others.gateway / DIGESTS * 1e3,
        "postgres_cpu_ms": others.postgres / DIGESTS * 1e3,
        "calls": calls / DIGESTS,
        "document_kb": done["bytes"] / DIGESTS / 1e3,
        "worker_memory_mb": memory,
    }


def main() -> None:
    """Measure, print and save."""
    found = uvloop.run(measure())
    show(
        f"digest: {DIGESTS} digests of {PAPERS} papers by one worker, {AT_ONCE} at once",
        ["figure", "value"],
        [[name.replace("_", " "), f"{value:,.2f}"] for name, value in found.items()],
    )
    save("digest", found)


if __name__ == "__main__":
    main()
