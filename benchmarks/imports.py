"""An import of a library of 5,000 entries while digests are written, and the API's memory for an upload of 50 MB."""

import asyncio
import random
import time
from typing import Any

import aiohttp
import asyncpg
import uvloop

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.persistence.readers import Readers
from app.persistence.tasks import TaskStateManager
from benchmarks.api import lag, open_http
from benchmarks.digest import SLOTS, new_digests, store
from benchmarks.processes import Child, child, emulator, read_line, resident_mb
from benchmarks.report import save, show, verdict
from benchmarks.start import environment, until_answered
from embedded.loopback import free_port
from embedded.sample.edition import SampleEdition

ENTRIES, BROKEN, LATIN = 5_000, 40, 2
LARGE = 50_000_000
AIM_SECONDS, AIM_LAG_MS, AIM_GROWTH_MB = 20.0, 50.0, 10.0
BIBTEX = {"Content-Type": "application/x-bibtex"}
DIGESTS_DONE = "select count(*) from public.tasks where kind = 'digest' and status = 'completed'"


def library() -> bytes:
    """Papers made of the sample's sentences, `BROKEN` entries without a title, and `LATIN` in another encoding."""
    dice, papers = random.Random(2), SampleEdition().papers
    words = [word for paper in papers for word in paper.title.split()]
    sentences = [sentence for paper in papers for sentence in paper.abstract.split(". ")]
    text = bytearray()
    for number in range(ENTRIES):
        title = "" if number < BROKEN else f"  title = {{{' '.join(dice.sample(words, 9))}}},\n"
        author = 'Gödel, Kurt and M{\\"u}ller, Anna'
        entry = (
            f"@article{{key{number},\n{title}  author = {{{author}}},\n  journal = {{Journal of Samples}},\n"
            f"  year = {{20{number % 26:02}}},\n  abstract = {{{'. '.join(dice.sample(sentences, 7))}}}\n}}\n\n"
        )
        text += entry.encode("latin-1" if BROKEN <= number < BROKEN + LATIN else "utf-8", "replace")
    return bytes(text)


async def post(http: aiohttp.ClientSession, address: str, reader_id: str, content: bytes) -> dict[str, Any]:
    """Upload a library; return its task."""
    async with http.post(f"{address}/v1/readers/{reader_id}/papers", data=content, headers=BIBTEX) as answer:
        found: dict[str, Any] = await answer.json()
        assert answer.status == 202, found
        return found


async def until_imported(http: aiohttp.ClientSession, address: str, task: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of an import; return its report."""
    while task["finished_at"] is None:
        async with http.get(f"{address}{task['url']}", headers={"Prefer": "wait=20"}) as answer:
            task = await answer.json()
    assert task["status"] == "completed", task["error"]
    report: dict[str, Any] = task["report"]
    return report


async def measure() -> dict[str, float]:
    """Let one worker import the library while it writes digests; then upload the largest file that is accepted."""
    with emulator() as ready:
        settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
        database = await asyncpg.connect(ready.database_url)
        port = free_port()
        keys = {"SUPABASE_KEY": ready.secret_key, "WORKER_PORT": str(port)} | SLOTS
        async with open_supabase(settings) as client:
            await store(client)
            readers = [
                (await Readers(client).create("default", {"reader_id": name, "name": "R"})).reader_id for name in IDS
            ]
            with (
                child("benchmarks.watched_api", "ours", ready.url, ready.secret_key, quiet=True) as api,
                child("worker", env=environment(ready.url) | keys, quiet=True),
            ):
                address = read_line(api)
                until_answered(f"http://127.0.0.1:{port}/healthz")
                digests = asyncio.create_task(keep_writing(TaskStateManager(client), ready.database_url))
                async with open_http(10) as http:
                    found = await measure_import(http, address, str(readers[0]), database)
                digests.cancel()
                await asyncio.gather(digests, return_exceptions=True)
                found |= await measure_upload(address, api, str(readers[1]))
        await database.close()
    return found


IDS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")


async def keep_writing(tasks: TaskStateManager, database_url: str) -> None:
    """Keep a backlog of digests in the queue."""
    database = await asyncpg.connect(database_url)
    while True:
        await tasks.create_tasks(new_digests())
        while await database.fetchval("select count(*) from public.queue where kind = 'digest'") > 50:
            await asyncio.sleep(0.2)


async def measure_import(
    http: aiohttp.ClientSession, address: str, reader_id: str, database: asyncpg.Connection
) -> dict[str, float]:
    """The time of an import, the digests that are written meanwhile, and the API's lag."""
    content = library()
    await lag(http, address)
    begin, digests = time.perf_counter(), await database.fetchval(DIGESTS_DONE)
    task = await post(http, address, reader_id, content)
    uploaded = time.perf_counter() - begin
    report = await until_imported(http, address, task)
    seconds = time.perf_counter() - begin
    assert [report[name] for name in ("entries", "rejected")] == [ENTRIES, BROKEN], report
    return {
        "library_mb": len(content) / 1e6,
        "upload_seconds": uploaded,
        "import_seconds": seconds,
        "digests_meanwhile": await database.fetchval(DIGESTS_DONE) - digests,
        "api_lag_p99_ms": (await lag(http, address))["p99_ms"],
    }


async def measure_upload(address: str, api: Child, reader_id: str) -> dict[str, float]:
    """The memory that the API needs more for the largest upload, and its lag meanwhile."""
    entry = b"@misc{k, title={A title}, note={" + b"x" * 99_960 + b"}}\n"
    content = (entry * (LARGE // len(entry)))[:LARGE]
    async with open_http(10) as http:
        await lag(http, address)
        before = most = resident_mb(api.pid)
        upload = asyncio.create_task(post(http, address, reader_id, content))
        begin = time.perf_counter()
        while not upload.done():
            most = max(most, resident_mb(api.pid))
            await asyncio.sleep(0.01)
        task = await upload
        seconds = time.perf_counter() - begin
        lags = await lag(http, address)
        async with http.post(f"{address}{task['url']}/cancel") as answer:
            assert answer.status == 202
    return {
        "largest_upload_seconds": seconds,
        "api_growth_mb": most - before,
        "largest_upload_lag_p99_ms": lags["p99_ms"],
    }


def main() -> None:
    """Measure, print and save."""
    found = uvloop.run(measure())
    aims = {
        "import_seconds": AIM_SECONDS,
        "api_lag_p99_ms": AIM_LAG_MS,
        "api_growth_mb": AIM_GROWTH_MB,
        "largest_upload_lag_p99_ms": AIM_LAG_MS,
    }
    rows = [
        [name.replace("_", " "), f"{value:,.1f}", verdict(value <= aims[name]) if name in aims else ""]
        for name, value in found.items()
    ]
    show(f"imports: {ENTRIES:,} entries by one worker that writes digests, and 50 MB", ["figure", "value", ""], rows)
    save("imports", found)


if __name__ == "__main__":
    main()
