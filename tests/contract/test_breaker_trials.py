"""A trial of a circuit breaker expires if its process has died: another process makes the next one."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import CircuitOpen
from app.persistence.circuit_breaker import BreakerSettings, CircuitBreakers
from embedded.stack import Ready

ROOT = Path(__file__).parents[2]
SETTINGS = BreakerSettings(
    threshold=1, open_for=timedelta(minutes=5), trial_for=timedelta(minutes=1), refresh=timedelta(0)
)
TRIAL = """
import asyncio, sys
from datetime import timedelta
from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.persistence.circuit_breaker import CircuitBreakers
from tests.contract.test_breaker_trials import SETTINGS

async def main():
    settings = SupabaseSettings.model_validate({"supabase_url": sys.argv[1], "supabase_key": sys.argv[2]})
    async with open_supabase(settings) as client, CircuitBreakers(client, SETTINGS).guard("arxiv"):
        print("trying", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
RETRY_NOW = "update public.circuit_breakers set retry_at = now()"


class Down(Exception):
    pass


async def open_breaker(client: AsyncClient, database: asyncpg.Connection) -> None:
    """Open the circuit breaker and make its trial due."""
    with pytest.raises(Down):
        async with CircuitBreakers(client, SETTINGS).guard("arxiv"):
            raise Down
    await database.execute(RETRY_NOW)


async def try_and_be_killed(stack: Ready) -> None:
    """Start the trial in another process, and kill it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TRIAL, stack.url, stack.secret_key), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"trying\n"
    finally:
        process.kill()
        await process.wait()


async def refused_for(client: AsyncClient) -> float:
    """The seconds for which a call is refused."""
    with pytest.raises(CircuitOpen) as caught:
        async with CircuitBreakers(client, SETTINGS).guard("arxiv"):
            raise AssertionError("a second trial began beside the first")
    return caught.value.retry_after


async def test_a_trial_whose_process_was_killed_is_repeated(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    await open_breaker(client, database)
    await try_and_be_killed(stack)
    left = await refused_for(client)
    assert 0 < left <= 60, "the trial of the killed process lasts for the trial time and no longer"
    await database.execute(RETRY_NOW)
    async with CircuitBreakers(client, SETTINGS).guard("arxiv"):
        assert await refused_for(client) <= 60, "again there is only one trial"
    (state,) = await CircuitBreakers(client).states()
    assert (state.state, state.failures) == ("closed", 0)


async def test_the_next_failed_trial_opens_the_breaker_again(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    await open_breaker(client, database)
    await try_and_be_killed(stack)
    await database.execute(RETRY_NOW)
    with pytest.raises(Down):
        async with CircuitBreakers(client, SETTINGS).guard("arxiv"):
            raise Down
    assert 290 < await refused_for(client) <= 300


async def test_a_late_success_of_a_lost_trial_closes_no_breaker(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    """Its process was only slow: now another trial counts."""
    await open_breaker(client, database)
    async with CircuitBreakers(client, SETTINGS).guard("arxiv"):
        await database.execute(RETRY_NOW)
        next_trial = CircuitBreakers(client, SETTINGS).guard("arxiv")
        await next_trial.__aenter__()
    (state,) = await CircuitBreakers(client).states()
    assert state.state == "half_open"
    await next_trial.__aexit__(None, None, None)
    (state,) = await CircuitBreakers(client).states()
    assert state.state == "closed"
