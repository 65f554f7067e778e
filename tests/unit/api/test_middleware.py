"""A burst of requests enters the application in small groups, so that no single loop iteration is long."""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from app.api.middleware import RequestContext
from app.client.loop_throttle import PIECES
from app.process.metrics import Metrics

REQUESTS = 100


async def test_a_burst_enters_a_few_requests_per_loop_iteration() -> None:
    entered = 0

    async def application(_scope: Scope, _receive: Receive, _send: Send) -> None:
        nonlocal entered
        entered += 1

    async def receive() -> Message:
        raise AssertionError("the body must not be read")

    async def send(_message: Message) -> None:
        raise AssertionError("no response is expected")

    context = RequestContext(application, Metrics())
    scope = {"type": "http", "method": "GET", "path": "/healthz", "headers": []}
    requests = [asyncio.create_task(context(dict(scope), receive, send)) for _ in range(REQUESTS)]
    most, before = 0, 0
    while entered < REQUESTS:
        await asyncio.sleep(0)
        most, before = max(most, entered - before), entered
    await asyncio.gather(*requests)
    assert most <= PIECES
