"""A proxy in front of the emulator that changes the responses that a test selects."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from aiohttp import web


@dataclass(frozen=True)
class Call:
    """A request: its table or function, and its body."""

    name: str
    body: dict[str, Any]

    @property
    def completes(self) -> bool:
        """Whether it has the outcome of a completed task."""
        return bool(self.body.get("p_completed"))

    @property
    def claims(self) -> bool:
        return bool(self.body.get("p_slots"))


@dataclass(frozen=True)
class Answer:
    status: int
    body: str


LOST = Answer(0, "")
"""In place of a response: the connection is closed without one."""

Interference = Callable[[Call], Awaitable[Answer | None]]


async def no_interference(_call: Call) -> Answer | None:
    """Let the call or its response pass."""
    return None


class Proxy:
    """Forwards every request unless `before` returns a response; the result of `after` replaces the real response."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._http = httpx.AsyncClient(trust_env=False, timeout=30)
        self._runner: web.AppRunner | None = None
        self.before: Interference = no_interference
        self.after: Interference = no_interference
        self.calls: list[Call] = []
        self.url = ""

    async def start(self) -> None:
        application = web.Application(client_max_size=30_000_000)
        application.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        await self._http.aclose()

    async def _pass_on(self, request: web.Request) -> web.Response:
        content = await request.read()
        call = Call(request.path.rpartition("/")[2], json.loads(content) if content else {})
        self.calls.append(call)
        if (response := await self.before(call)) is not None:
            return _response(request, response)
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        answer = await self._http.request(
            request.method, self._target + request.path_qs, headers=headers, content=content
        )
        if (response := await self.after(call)) is not None:
            return _response(request, response)
        kept = {name: value for name, value in answer.headers.items() if name == "content-type"}
        return web.Response(status=answer.status_code, body=answer.content, headers=kept)


def _response(request: web.Request, answer: Answer) -> web.Response:
    if answer is LOST:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()
    kind = "text/html" if answer.body.startswith("<") else "application/json"
    return web.Response(status=answer.status, text=answer.body, content_type=kind)


class Gate:
    """A hook that holds sync calls while it is closed."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.is_blocking = asyncio.Event()

    def close(self) -> None:
        self._open.clear()
        self.is_blocking.clear()

    def open(self) -> None:
        self._open.set()

    async def __call__(self, call: Call) -> Answer | None:
        if call.name == "sync_worker" and not self._open.is_set():
            self.is_blocking.set()
            await self._open.wait()
        return None


class Times:
    """A hook that returns `answer` for the first `times` calls that `which` selects."""

    def __init__(self, answer: Answer, times: int, which: Callable[[Call], bool]) -> None:
        self._answer = answer
        self._left = times
        self._which = which

    @property
    def given(self) -> bool:
        """Whether all of them were returned."""
        return self._left == 0

    async def __call__(self, call: Call) -> Answer | None:
        if self._left == 0 or not self._which(call):
            return None
        self._left -= 1
        return self._answer


class RandomLosses:
    """A hook that loses a `share` of the responses: with `after`, the server has applied the call."""

    def __init__(self, *, share: float, seed: int) -> None:
        self._share = share
        self._random = random.Random(seed)
        self.count = 0

    async def __call__(self, _call: Call) -> Answer | None:
        if self._random.random() >= self._share:
            return None
        self.count += 1
        return LOST
