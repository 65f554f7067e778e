"""Two concurrent writers of any kind and order both succeed and never deadlock."""

import asyncio
import random
from itertools import combinations_with_replacement

import asyncpg
import pytest
from supabase import AsyncClient

from tests.contract.deadlocks import deadlocks
from tests.contract.writers import WRITERS, Writing, furnish

EACH = 3
"""Concurrent callers of each kind."""


@pytest.mark.parametrize("first", WRITERS)
async def test_no_pair_of_writers_deadlocks(first: str, client: AsyncClient, database: asyncpg.Connection) -> None:
    chance, before = random.Random(first), await deadlocks(database)
    for pair in combinations_with_replacement(WRITERS, 2):
        if pair[0] != first:
            continue
        running_tasks = await furnish(client, database)
        seeds = [(kind, random.Random(chance.random())) for kind in pair for _ in range(EACH)]
        await asyncio.gather(*(WRITERS[kind](Writing(client, own, running_tasks)) for kind, own in seeds))
        assert await deadlocks(database) == before, pair
