"""The long version of tests/acceptance/test_mails.py (`make soak-mails`): a table, and exit 1 on a violation."""

import argparse
import random
import sys
from collections import Counter

import asyncpg
import uvloop

from app.client.factory import open_supabase
from benchmarks.processes import emulator
from benchmarks.report import show
from tests.acceptance.mail_storm import LOST, Account, Storm, weather
from tests.support.flaky_server import ALL
from tests.support.forks import end_zygote
from tests.support.processes import kill_what_is_left
from tests.support.stack_process import settings_for

MOST_SHOWN = 20


async def soak(storm: Storm) -> Account:
    """Run it on a separate emulator."""
    with emulator(durable=False) as ready:
        database = await asyncpg.connect(ready.database_url)
        try:
            async with open_supabase(settings_for(ready)) as client:
                return await weather(storm, ready, client, database)
        finally:
            kill_what_is_left()
            end_zygote()
            await database.close()


def main() -> None:
    """Parse the options, run, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    chosen = parser.parse_args()
    print(f"{chosen.readers:,} readers, {chosen.kills} kills: SEED={chosen.seed}", flush=True)
    account = uvloop.run(
        soak(Storm(chosen.readers, chosen.kills, chosen.seed, ALL, connections=4, lease=15, patience=5_400))
    )
    show(
        "mails: the last that the server did, and what the service says",
        ["the server", "sent", "failed", "in_doubt"],
        account.table(),
    )
    states, taken = Counter(row["status"] for row in account.rows), account.taken
    doubts = [row for row in account.rows if row["status"] == "in_doubt"]
    show(
        "mails: in all",
        ["", "mails"],
        [
            ["attempts that the server heard of", str(sum(map(len, account.happened.values())))],
            ["mails that it took", str(taken.total())],
            ["readers who got two", str(sum(count > 1 for count in taken.values()))],
            [
                "readers with an end",
                f"{sum(states[state] for state in ('sent', 'failed', 'in_doubt'))} of {chosen.readers}",
            ],
            ["in doubt, and the mail had come", str(sum(taken[str(row["reader_id"])] for row in doubts))],
            ["in doubt, and it had not", str(sum(not taken[str(row["reader_id"])] for row in doubts))],
            [
                "of them by a kill",
                f"{sum(row['reason'] == LOST for row in doubts)} of {len(account.running_tasks)} running",
            ],
            ["seconds", f"{account.seconds:.0f}"],
        ],
    )
    faults = account.faults()
    for fault in faults[:MOST_SHOWN]:
        print(f"DOES NOT HOLD: {fault}")
    print(f"{len(faults)} faults (SEED={chosen.seed})" if faults else "everything holds")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
