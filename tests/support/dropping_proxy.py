"""A proxy that drops some responses: the server has done the work, and the client does not know it."""

import random

import httpx
from aiohttp import web


class DroppingProxy:
    """Drops a `share` of the responses after the server has sent them."""

    def __init__(self, target: str, *, share: float, seed: int) -> None:
        self._target = target
        self._share = share
        self._random = random.Random(seed)
        self._http = httpx.AsyncClient(trust_env=False, timeout=30)
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.dropped = 0

    async def start(self) -> None:
        application = web.Application(client_max_size=30_000_000)
        application.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        await self._http.aclose()

    async def _pass_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        answer = await self._http.request(
            request.method, self._target + request.path_qs, headers=headers, content=await request.read()
        )
        if self._random.random() < self._share:
            self.dropped += 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(
            status=answer.status_code, body=answer.content, headers={"content-type": answer.headers["content-type"]}
        )
