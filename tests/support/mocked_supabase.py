"""Lets a mock of httpx, such as respx, respond to the Supabase client."""

from collections.abc import Callable, Coroutine

import httpx
from multidict import CIMultiDict, CIMultiDictProxy

from app.client.call import Call, Response


class MockedSupabase:
    """A transport of the Supabase client whose responses come from a handler of `httpx.MockTransport`."""

    def __init__(self, handler: Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]) -> None:
        self._transport = httpx.MockTransport(handler)

    async def send(self, call: Call) -> Response:
        headers = list(call.headers.items())
        request = httpx.Request(call.method, str(call.url), headers=headers, content=call.content)
        response = await self._transport.handle_async_request(request)
        content = await response.aread()
        return Response(
            response.status_code, CIMultiDictProxy(CIMultiDict(response.headers.multi_items())), content, call
        )

    async def aclose(self) -> None:
        await self._transport.aclose()
