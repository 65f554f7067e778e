"""Two concurrent writers of any kind and order both succeed, never deadlock, and leave no loose rows behind."""

import asyncio
import os
import random
from itertools import combinations
from typing import Final

import asyncpg
import pytest
from supabase import AsyncClient

from tests.contract.all_writers import ALL_WRITERS
from tests.contract.consistency import left_behind
from tests.contract.deadlocks import deadlocks
from tests.contract.writers import Writing, furnish

EACH: Final = 3
"""Concurrent callers of each kind."""
SEED: Final = os.environ.get("SEED", "")
"""Another one gives other orders of rows; how the calls overlap depends on the machine."""
PLANE: Final = 31
LINES: Final = [sorted((first + step) % PLANE for step in (0, 1, 3, 8, 12, 18)) for first in range(PLANE)]
"""The lines of a projective plane of 31 points: any two points are on exactly one line, so six kinds at once are 15
pairs, and 31 runs are all."""
KINDS: Final = list(ALL_WRITERS)
GROUPS: Final = [[KINDS[point] for point in line if point < len(KINDS)] for line in LINES]


def test_every_pair_of_writers_is_in_one_group() -> None:
    assert len(KINDS) <= PLANE, (
        "more kinds need a plane of 57 points: 57 lines, from the steps 0, 1, 3, 13, 32, 36, 43, 52"
    )
    together = [pair for group in GROUPS for pair in combinations(group, 2)]
    assert sorted(map(sorted, together)) == sorted(sorted(pair) for pair in combinations(KINDS, 2))


@pytest.mark.parametrize("group", GROUPS, ids="-".join)
async def test_no_pair_of_writers_deadlocks(
    group: list[str], client: AsyncClient, database: asyncpg.Connection
) -> None:
    chance, before = random.Random(SEED + "-".join(group)), await deadlocks(database)
    running_tasks = await furnish(client, database)
    seeds = [(kind, random.Random(chance.random())) for kind in group for _ in range(EACH)]
    await asyncio.gather(*(ALL_WRITERS[kind](Writing(client, own, running_tasks)) for kind, own in seeds))
    assert await deadlocks(database) == before
    assert await left_behind(database) == {}
