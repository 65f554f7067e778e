"""Fixtures of the transport's tests: scripted servers, and settings with one retry."""

from collections.abc import AsyncIterator

import pytest

from app.config import SupabaseSettings
from tests.support.fixture_types import MakeSettings, StartServer
from tests.support.scripted_server import ScriptedServer, Step


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    running: list[ScriptedServer] = []

    async def start(*steps: Step, close_on_accept: bool = False) -> ScriptedServer:
        server = ScriptedServer(*steps, close_on_accept=close_on_accept)
        await server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        await server.stop()


@pytest.fixture
def make_settings(monkeypatch: pytest.MonkeyPatch) -> MakeSettings:
    """Settings with one quick retry and long time limits, for slow machines."""
    monkeypatch.setattr("app.client.transport.FIRST_BACKOFF", 0.01)

    def make(url: str, **changes: object) -> SupabaseSettings:
        values = {
            "supabase_url": url,
            "supabase_key": "sb_secret_test",
            "supabase_read_timeout": 30,
            "supabase_call_timeout": 90,
            "supabase_retries": 1,
        }
        return SupabaseSettings.model_validate(values | changes)

    return make
