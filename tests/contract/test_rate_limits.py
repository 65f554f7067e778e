"""Permits of a source: one at a time, an interval apart, across processes; a lost holder costs one permit."""

import asyncio
import time
from itertools import pairwise
from uuid import uuid4

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.errors import SourceBusy, SupabaseUnavailable
from app.persistence.rate_limits import DistributedRateLimiter
from app.sources.rate_limiter import RateLimiter
from tests.support.mocked_supabase import MockedSupabase

INTERVAL, HOLD = 0.2, 30.0


async def take(client: AsyncClient, *, interval: float = INTERVAL, hold: float = HOLD) -> float:
    return await DistributedRateLimiter(client).acquire("arxiv", uuid4(), interval=interval, hold=hold)


async def test_a_pause_of_one_host_is_known_to_all_processes(client: AsyncClient) -> None:
    one, other = (RateLimiter(0.01, permits=DistributedRateLimiter(client)) for _ in range(2))
    async with one.permit("api") as permit:
        permit.pause = 3_600
    await one.pause("listing", 1_800)
    for host, least in (("api", 3_500), ("listing", 1_700)):
        with pytest.raises(SourceBusy, match=f"arxiv {host} requires a pause of all clients") as busy:
            async with other.permit(host):
                pass
        assert busy.value.retry_after > least
    async with other.permit("oai"):
        pass


async def test_a_permit_is_granted_once_and_kept_by_the_same_token(client: AsyncClient) -> None:
    turns, mine = DistributedRateLimiter(client), uuid4()
    assert await turns.acquire("arxiv", mine, interval=INTERVAL, hold=HOLD) == 0
    assert await turns.acquire("arxiv", mine, interval=INTERVAL, hold=HOLD) == 0
    assert 0 < await take(client) <= INTERVAL
    assert await DistributedRateLimiter(client).acquire("elsewhere", uuid4(), interval=INTERVAL, hold=HOLD) == 0


async def test_the_next_permit_waits_until_this_one_is_released(client: AsyncClient) -> None:
    turns, mine = DistributedRateLimiter(client), uuid4()
    await turns.acquire("arxiv", mine, interval=0.01, hold=HOLD)
    await asyncio.sleep(0.05)
    assert await take(client) > 0, "two requests at once"
    await turns.release("arxiv", mine, pause=0)
    assert await take(client) == 0


async def test_a_lost_holder_costs_one_permit(client: AsyncClient, database: asyncpg.Connection) -> None:
    await take(client, interval=0.01)
    await asyncio.sleep(0.02)
    assert await take(client) > 0
    await database.execute(
        "update public.rate_limits set held_until = now() - interval '1 second' where name = 'arxiv'"
    )
    assert await take(client) == 0
    assert await take(client) > 0, "the next permit has the interval again"


async def test_a_pause_applies_to_all_processes(client: AsyncClient, database: asyncpg.Connection) -> None:
    turns, mine = DistributedRateLimiter(client), uuid4()
    await turns.acquire("arxiv", mine, interval=INTERVAL, hold=HOLD)
    for _ in range(2):
        await turns.release("arxiv", mine, pause=600)
    assert 590 < await take(client) <= 600
    await database.execute("update public.rate_limits set next_at = now() where name = 'arxiv'")
    await turns.release("arxiv", mine, pause=600)
    assert await take(client) == 0, "the third repetition caused another pause"


async def test_a_late_call_neither_takes_nor_releases_a_permit(client: AsyncClient) -> None:
    turns, first, second = DistributedRateLimiter(client), uuid4(), uuid4()
    await turns.acquire("arxiv", first, interval=0, hold=HOLD)
    await turns.release("arxiv", first, pause=0)
    assert await turns.acquire("arxiv", first, interval=0, hold=HOLD) == 0
    assert await turns.acquire("arxiv", second, interval=0, hold=HOLD) == 0, "an ended permit was granted again"
    await turns.release("arxiv", uuid4(), pause=0)
    assert await take(client) > 0, "another holder ended the permit"


async def test_permits_of_many_processes_are_an_interval_apart(client: AsyncClient) -> None:
    began: list[float] = []
    under_way = 0

    async def ask(limiter: RateLimiter) -> None:
        nonlocal under_way
        for _ in range(2):
            async with limiter.permit():
                assert under_way == 0
                under_way += 1
                began.append(time.monotonic())
                await asyncio.sleep(0.05)
                under_way -= 1

    await asyncio.gather(*(ask(RateLimiter(INTERVAL, permits=DistributedRateLimiter(client))) for _ in range(5)))
    began.sort()
    assert len(began) == 10
    assert min(later - earlier for earlier, later in pairwise(began)) >= INTERVAL


async def test_a_long_pause_rejects_other_callers_without_waiting(client: AsyncClient) -> None:
    async with RateLimiter(INTERVAL, permits=DistributedRateLimiter(client)).permit() as turn:
        turn.pause = 900.0
    with pytest.raises(SourceBusy) as busy:
        async with RateLimiter(INTERVAL, permits=DistributedRateLimiter(client)).permit():
            raise AssertionError("a request was sent")
    assert 890 < busy.value.retry_after <= 900


async def test_a_cancelled_request_releases_its_permit(client: AsyncClient) -> None:
    async def ask() -> None:
        async with RateLimiter(0.01, permits=DistributedRateLimiter(client)).permit():
            entered.set()
            await asyncio.Event().wait()

    entered = asyncio.Event()
    asking = asyncio.create_task(ask())
    await entered.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(0.02)
    assert await take(client) == 0


async def test_without_the_database_a_process_limits_its_own_rate() -> None:
    async def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there", request=request)

    settings = SupabaseSettings.model_validate(
        {"supabase_url": "http://127.0.0.1:9", "supabase_key": "sb_secret_x", "supabase_retries": 0}
    )
    began: list[float] = []
    async with open_supabase(settings, transport=MockedSupabase(refuse)) as client:
        with pytest.raises(SupabaseUnavailable):
            await take(client)
        limiter = RateLimiter(INTERVAL, permits=DistributedRateLimiter(client))
        for _ in range(3):
            async with limiter.permit():
                began.append(time.monotonic())
    assert min(later - earlier for earlier, later in pairwise(began)) >= INTERVAL
