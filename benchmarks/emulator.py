"""The emulator: start time, a bulk insert, and single-row reads through our client."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from uuid import uuid4

import uvloop

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.models.tasks import TaskKind
from app.persistence.tasks import TaskStateManager
from benchmarks.processes import emulator_over, scratch_folder
from benchmarks.report import save, show
from embedded.stack import Ready

REPEATS = 3
ROWS = 20_000
READS, IN_FLIGHT = 1_000, 50


def start_times(folder: Path) -> dict[str, list[float]]:
    """Start on an empty folder and on an existing one in turns."""
    found: dict[str, list[float]] = {"start, empty folder (s)": [], "start, existing folder (s)": []}
    for repeat in range(REPEATS):
        for values in found.values():
            begin = time.perf_counter()
            with emulator_over(folder / str(repeat)):
                values.append(time.perf_counter() - begin)
    return found


async def seconds_of(work: Callable[[], Awaitable[object]]) -> float:
    """The seconds that `work` takes."""
    begin = time.perf_counter()
    await work()
    return time.perf_counter() - begin


async def requests(ready: Ready) -> dict[str, list[float]]:
    """A bulk insert in one request, and reads of one row at `IN_FLIGHT` in flight."""
    settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
    inserts, reads = [], []
    async with open_supabase(settings) as client:
        tasks = TaskStateManager(client)
        task = await tasks.create_task_with_source_date(
            task_id=uuid4(), kind=TaskKind.FETCH, payload={}, source_date=date(2026, 1, 1)
        )
        for repeat in range(REPEATS):
            rows = [{"key": f"{repeat}-{n}", "value": n, "expires_at": "2100-01-01T00:00:00Z"} for n in range(ROWS)]
            inserts.append(await seconds_of(client.table("cache_entries").insert(rows).execute))

            async def read_in_turn() -> None:
                for _ in range(READS // IN_FLIGHT):
                    await tasks.get_task(task.task_id)

            elapsed = await seconds_of(lambda: asyncio.gather(*(read_in_turn() for _ in range(IN_FLIGHT))))
            reads.append(READS / elapsed)
    return {f"{ROWS:,} rows in one request (s)": inserts, f"single-row reads a second at {IN_FLIGHT} in flight": reads}


def main() -> None:
    """Measure, print and save."""
    with scratch_folder() as folder:
        measured = start_times(folder)
        with emulator_over(folder / "requests") as ready:
            measured |= uvloop.run(requests(ready))
    rows = [
        [name, f"{statistics.median(values):,.2f}", ", ".join(f"{value:,.2f}" for value in values)]
        for name, values in measured.items()
    ]
    show("emulator", ["what", "median", f"all {REPEATS}"], rows)
    save("emulator", {"figures": measured})


if __name__ == "__main__":
    main()
