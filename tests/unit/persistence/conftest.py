"""The real client over a router that replaces Supabase."""

from collections.abc import AsyncIterator

import pytest
import respx
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from tests.support.mocked_supabase import MockedSupabase


@pytest.fixture
def router() -> respx.Router:
    return respx.Router(base_url="http://project.test/rest/v1")


@pytest.fixture
async def client(router: respx.Router) -> AsyncIterator[AsyncClient]:
    settings = SupabaseSettings.model_validate(
        {"supabase_url": "http://project.test", "supabase_key": "sb_secret_x", "supabase_retries": 0}
    )
    async with open_supabase(settings, transport=MockedSupabase(router.async_handler)) as client:
        yield client
