"""The clients of the contract tests."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from supabase import AsyncClient

from app.supabase_client import open_supabase
from embedded.stack import Ready
from tests.conftest import settings_for
from tests.contract.helpers import LosingTransport


@pytest.fixture
async def losing_transport() -> LosingTransport:
    return LosingTransport()


@pytest.fixture
async def losing_client(
    stack: Ready,
    database: asyncpg.Connection,  # noqa: ARG001  (emptied)
    losing_transport: LosingTransport,
) -> AsyncIterator[AsyncClient]:
    """A client that never hears the first answer to a request, and asks again."""
    async with open_supabase(settings_for(stack), transport=losing_transport) as client:
        yield client
