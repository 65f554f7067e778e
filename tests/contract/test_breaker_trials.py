"""A trial of a circuit breaker expires if its process has died: another process makes the next one."""

import signal

import asyncpg
import pytest
from supabase import AsyncClient

from app.errors import CircuitOpen
from app.persistence.circuit_breaker import CircuitBreakers
from embedded.stack import Ready
from tests.support.breaker_trial import BEGUN, SETTINGS
from tests.support.forks import fork
from tests.support.processes import environment

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
    process = await fork("tests.support.breaker_trial", environment=environment(stack.url, stack.secret_key))
    try:
        assert await process.output.readline() == f"{BEGUN}\n".encode()
    finally:
        process.send_signal(signal.SIGKILL)
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
