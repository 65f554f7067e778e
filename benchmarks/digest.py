"""Digests: what one costs the worker, the gateway and the database, with an edition of 500 papers. No model is asked.

The figures that docs/PERFORMANCE.md reckons machines with.
"""

import asyncio
import os
import random
import re
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import uvloop
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.models import Article, ArticleKind, EditionStatus, TaskKind
from app.persistence.editions import Editions
from app.persistence.tasks import TaskStateManager
from benchmarks.processes import child, resident_mb, stand_in
from benchmarks.report import save, show
from benchmarks.start import environment, until_answered
from embedded.loopback import free_port
from embedded.sample.edition import SampleEdition

DAY = date(2026, 11, 22)
PAPERS, DIGESTS, CONCURRENCY = 500, 200, 10
INTERESTS = ("graph neural networks", "robustness", "protein structure", "reasoning", "diffusion models", "privacy")
CALLS = re.compile(r'broadsheet_supabase_calls_total\{outcome="[^"]*"\} (\S+)')


def edition() -> list[Article]:
    """Papers made of the sample's titles and sentences, shuffled, none a repeat of another."""
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


async def post(client: AsyncClient) -> None:
    """Store the edition, and post the digests."""
    daily, tasks = Editions(client), TaskStateManager(client)
    await daily.begin_edition(DAY)
    await daily.save_articles(DAY, edition())
    await daily.finish_edition(DAY, EditionStatus.COMPLETED, {})
    for number in range(DIGESTS):
        wanted = [INTERESTS[number % len(INTERESTS)], INTERESTS[number // len(INTERESTS) % len(INTERESTS)]]
        payload = {"profile": {"name": f"Reader {number}", "interests": wanted}}
        await tasks.create_task_with_source_date(
            task_id=uuid4(), kind=TaskKind.DIGEST, payload=payload, source_date=DAY
        )


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time that these processes have used, in seconds."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def calls_made(port: int) -> float:
    """Calls to Supabase that a worker has made, by its own count."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    return sum(float(count) for count in CALLS.findall(text))


async def until_done(client: AsyncClient) -> None:
    """Wait until no digest is unfinished."""
    unfinished = client.table("tasks").select("task_id").is_("finished_at", "null").limit(1)
    while (await unfinished.execute()).data:
        await asyncio.sleep(0.05)


async def measure() -> dict[str, float]:
    """All digests by one worker process; figures for one digest."""
    with stand_in() as ready:
        settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
        async with open_supabase(settings) as client:
            await post(client)
            port = free_port()
            keys = {"SUPABASE_KEY": ready.secret_key, "WORKER_PORT": str(port), "CONCURRENCY": str(CONCURRENCY)}
            with child("worker", env=environment(ready.url) | keys, quiet=True) as worker:
                until_answered(f"http://127.0.0.1:{port}/healthz")
                begin, cpu = time.perf_counter(), cpu_seconds([worker.pid])
                await until_done(client)
                seconds, cpu = time.perf_counter() - begin, cpu_seconds([worker.pid]) - cpu
                calls, memory = calls_made(port), resident_mb(worker.pid)
            rows = await client.table("tasks").select("result").limit(DIGESTS).execute()
    return {
        "digests_per_second": DIGESTS / seconds,
        "worker_cpu_ms": cpu / DIGESTS * 1e3,
        "calls": calls / DIGESTS,
        "result_kb": sum(len(str(row["result"])) for row in rows.data) / DIGESTS / 1e3,
        "worker_memory_mb": memory,
    }


def main() -> None:
    """Measure, print, write."""
    found = uvloop.run(measure())
    show(
        f"digest: {DIGESTS} digests of {PAPERS} papers by one worker, {CONCURRENCY} at once",
        ["figure", "value"],
        [[name.replace("_", " "), f"{value:,.1f}"] for name, value in found.items()],
    )
    save("digest", found)


if __name__ == "__main__":
    main()
