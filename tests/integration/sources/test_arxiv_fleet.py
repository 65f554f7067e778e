"""All processes together respect arXiv's rate limit: real processes and the real stack, with a recording server."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise

import asyncpg

from embedded.stack import Ready
from tests.support.arxiv_process import RESULT
from tests.support.fixture_types import Serve
from tests.support.forks import fork
from tests.support.processes import environment
from tests.support.scripted_server import ScriptedServer, Step
from tests.support.source_responses import page, reply

INTERVAL = 0.4


async def fetching(stack: Ready, server: ScriptedServer) -> str:
    """Fetch a day in another process; returns its result."""
    process = await fork(
        *("tests.support.arxiv_process", server.url, str(INTERVAL)),
        environment=environment(stack.url, stack.secret_key),
    )
    lines = (await process.output.read()).decode().splitlines()
    assert await process.wait() == 0, lines
    (result,) = [line.removeprefix(RESULT) for line in lines if line.startswith(RESULT)]
    return result


class Observer:
    """Responds slowly, and records whether two requests overlapped and when the permit of each request was granted."""

    def __init__(self, step: Step, database: asyncpg.Connection) -> None:
        self._step = step
        self._database = database
        self._under_way = 0
        self.most = 0
        self.next_at: list[datetime] = []
        """When the next request is permitted, by the database's clock, which no load of the machine distorts."""

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        self.next_at.append(
            await self._database.fetchval("select next_at from public.rate_limits where name = 'arxiv'")
        )
        await asyncio.sleep(INTERVAL / 2)
        self._under_way -= 1
        await self._step(writer)


async def test_two_processes_share_the_request_interval(
    stack: Ready, database: asyncpg.Connection, serve: Serve
) -> None:
    watched = Observer(page(0, 2, 6), database)
    server = await serve(watched)
    assert await asyncio.gather(*(fetching(stack, server) for _ in range(2))) == ["2", "2"]
    assert len(server.seen_at) == 6
    assert min(later - earlier for earlier, later in pairwise(watched.next_at)) >= timedelta(seconds=INTERVAL)
    assert watched.most == 1
    assert await database.fetchval("select holder is null from public.rate_limits where name = 'arxiv'")


async def test_a_429_to_one_process_stops_the_other(
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
    serve: Serve,
) -> None:
    busy = reply(status=429, headers="Retry-After: 3\r\n")
    server = await serve(page(0, 2, 2), busy, page(0, 2, 2))
    assert await asyncio.gather(*(fetching(stack, server) for _ in range(3))) == ["2", "2", "2"]
    assert len(server.seen_at) == 4
    assert server.seen_at[2] - server.seen_at[1] >= 2.9


async def test_a_long_retry_after_stops_all_processes(stack: Ready, database: asyncpg.Connection, serve: Serve) -> None:
    server = await serve(reply(status=503, headers="Retry-After: 1800\r\n"))
    said = await asyncio.gather(*(fetching(stack, server) for _ in range(3)))
    assert all(word.startswith("busy 1") for word in said), said
    assert len(server.seen_at) == 1
    assert await database.fetchval(
        "select next_at > now() + interval '29 minutes' from public.rate_limits where name = 'arxiv api'"
    )
