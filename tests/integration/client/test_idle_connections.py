"""The client closes an idle connection before a load balancer drops it silently."""

import asyncio

import pytest

from app.client import transport
from app.client.factory import open_supabase
from tests.support.fixture_types import MakeSettings

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]"


async def test_an_idle_connection_is_closed(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "KEEPALIVE", 0.05)
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await reader.read()
        closed.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with open_supabase(make_settings(f"http://{host}:{port}")) as client:
            assert (await client.table("tasks").select("task_id").execute()).data == []
            async with asyncio.timeout(30):
                await closed.wait()
