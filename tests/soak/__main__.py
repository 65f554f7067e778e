"""`make soak MINUTES=60 SEED=1`: prints what was done and what does not hold; exits with 1 if anything does not."""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import httpx
import uvloop

from app.links import Links
from benchmarks.processes import scratch_folder
from benchmarks.report import show
from tests.soak.account import faults_of
from tests.soak.caller import Caller
from tests.soak.faults import Faults
from tests.soak.ledger import Ledger
from tests.soak.load import Load
from tests.soak.measures import Measures, connections, descriptors, sample
from tests.soak.project import Emulator
from tests.soak.system import API_KEY, SECRETS, System, system

MOST_SHOWN = 30
STEEPEST = 0.1
"""MB per minute that a process may grow after a quarter of the time, in soaks of half an hour or more."""
LONG = 30
POOLED = 20
"""Connections that a pool may keep open when it is idle; a leak of an hour exceeds it."""
REST = 300.0
"""Seconds in which everything that is left has to end when nothing fails any more."""


@dataclass(frozen=True)
class Plan:
    """The size of a soak. `gap`: seconds between two faults."""

    minutes: float
    readers: int
    seed: int
    gap: float


async def soak(plan: Plan) -> int:
    """Run it; returns the exit status."""
    chance, ledger = random.Random(plan.seed), Ledger()
    with scratch_folder() as folder:
        async with system(folder, chance) as running, _client() as http:
            load = Load(
                Caller(http, running.addresses, ledger, chance),
                ledger,
                Links([SECRETS["LINK_SECRET"]], ""),
                running.receiver.url,
                chance,
            )
            await load.add_readers(plan.readers, timedelta(minutes=max(plan.minutes * 0.7 - 2, 0.5)))
            before = await connections(running), [descriptors(each) for each in running.kept]
            faults, measures = Faults(running, chance, plan.gap), [Measures(each) for each in running.kept]
            await _for(plan.minutes * 60, load.run(), faults.run(), sample(measures))
            found = await _ended(running)
            database = await asyncpg.connect(running.project.database_url)
            try:
                found += await faults_of(running, ledger, database)
            finally:
                await database.close()
            found += await _used(running, before)
            found += _grown(plan, measures)
            await running.stop()
            _report(running, ledger, faults, measures)
    for line in found[:MOST_SHOWN]:
        print(f"DOES NOT HOLD: {line}")
    print(f"{len(found)} faults (SEED={plan.seed})" if found else f"everything holds (SEED={plan.seed})")
    return 1 if found else 0


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(headers={"X-API-Key": API_KEY}, trust_env=False, timeout=30)


async def _for(seconds: float, *jobs: Coroutine[None, None, None]) -> None:
    """Run the jobs together for some time, then end them; a job that fails ends all."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)


async def _ended(running: System) -> list[str]:
    """Wait until the queue is empty; tasks that wait for their next attempt become ready at once."""
    deadline = time.monotonic() + REST
    database = await asyncpg.connect(running.project.database_url)
    try:
        while await database.fetchval("select exists (select from public.queue where not dead_letter)"):
            if time.monotonic() > deadline:
                return [f"tasks are left {REST:.0f} s after the last fault"]
            await database.execute("update public.queue set run_at = now() where worker_id is null and run_at > now()")
            await asyncio.sleep(1)
        return []
    finally:
        await database.close()


async def _used(running: System, before: tuple[int, list[int]]) -> list[str]:
    """Compare connections and descriptors with those before the load."""
    found: list[str] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        clients, files = await connections(running), [descriptors(each) for each in running.kept]
        found = [f"{clients} connections to PostgreSQL, {before[0]} at first"] if clients > before[0] + POOLED else []
        pairs = zip(running.kept, files, before[1], strict=True)
        found += [
            f"{each.name} has {now} descriptors, {then} at first" for each, now, then in pairs if now > then + POOLED
        ]
        if not found:
            break
        await asyncio.sleep(1)
    return found


def _grown(plan: Plan, measures: list[Measures]) -> list[str]:
    if plan.minutes < LONG:
        return []
    slopes = {each.program.name: each.slope(plan.minutes * 15) for each in measures}
    return [f"{name} grows by {slope:.2f} MB a minute" for name, slope in slopes.items() if slope >= STEEPEST]


def _report(running: System, ledger: Ledger, faults: Faults, measures: list[Measures]) -> None:
    done = [
        ["tasks that the API acknowledged", f"{len(ledger.tasks):,}"],
        ["of them imports", f"{len(ledger.imports):,}"],
        ["papers that readers liked", f"{sum(map(len, ledger.liked.values())):,}"],
        ["addresses that signed up", f"{len(ledger.sign_ups):,}"],
        ["mails that the server took", f"{len(running.mails.taken):,}"],
        ["callbacks", f"{sum(running.receiver.delivered.values()):,}"],
        ["responses", ", ".join(f"{status}: {count:,}" for status, count in sorted(ledger.statuses.items()))],
    ]
    if isinstance(running.project, Emulator):
        done.append(["responses of the gateway that were lost on the way", f"{running.project.gateway.lost:,}"])
    show("soak: what happened", ["", "count"], done)
    show("soak: faults", ["", "times"], [[name, str(times)] for name, times in sorted(faults.count.items())])
    rows = [
        [
            each.program.name,
            f"{each.memory[0][1]:.0f}",
            f"{each.memory[-1][1]:.0f}",
            f"{each.slope(each.memory[-1][0] / 4):+.2f}",
        ]
        for each in measures
    ]
    show("soak: memory", ["", "MB at first", "MB at last", "MB a minute after a quarter"], rows)


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--readers", type=int, default=500)
    parser.add_argument("--gap", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    chosen = parser.parse_args()
    print(f"{chosen.minutes:g} minutes, {chosen.readers} readers: SEED={chosen.seed}", flush=True)
    sys.exit(uvloop.run(soak(Plan(chosen.minutes, chosen.readers, chosen.seed, chosen.gap))))


if __name__ == "__main__":
    main()
