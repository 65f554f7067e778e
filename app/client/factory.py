"""The one Supabase client of a process: opened here, held by the application, handed to every persistence class."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
from supabase import AsyncClient, AsyncClientOptions, create_async_client

from app.client.generic_model_cache import generic_model_cache
from app.client.session import PostgrestSession
from app.client.transport import CallCounters, build_timeout, build_transport
from app.config import SupabaseSettings, is_legacy_jwt

PLACEHOLDER_KEY = "placeholder.of.jwt-shape"
"""The client's constructor refuses any key that is no JWT, also today's `sb_secret_` keys; it is never sent."""

_ANSWERS: Final = generic_model_cache()
"""Held for the life of the process; `generic_model_cache` says why."""


@asynccontextmanager
async def open_supabase(
    settings: SupabaseSettings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    counters: CallCounters | None = None,
) -> AsyncIterator[AsyncClient]:
    """Open the client, yield it, close it; `transport` (for tests) takes the place of the network.

    Opening sends nothing, so it succeeds while Supabase is down. The client is shared by all tasks of the event loop;
    `.schema()`, sign-ins and `.postgrest.auth()` would change it under all of them and are forbidden by a check.
    """
    key = settings.supabase_key.get_secret_value()
    legacy = is_legacy_jwt(key)
    options = AsyncClientOptions(auto_refresh_token=False, persist_session=False)
    client = await create_async_client(settings.supabase_url, key if legacy else PLACEHOLDER_KEY, options)
    if not legacy:
        _use_secret_key(client, key)
    await _use_session(client, settings, build_transport(settings, transport, counters))
    try:
        yield client
    finally:
        await client.postgrest.aclose()
        await client.auth.close()


def _use_secret_key(client: AsyncClient, key: str) -> None:
    """Send an `sb_secret_` key in the apikey header alone: it is no bearer token, the gateways turn it into the role.

    Must come before the first `client.postgrest`, which copies the headers.
    """
    client.supabase_key = key
    client.options.headers["apiKey"] = key
    client.options.headers.pop("Authorization", None)


async def _use_session(client: AsyncClient, settings: SupabaseSettings, transport: httpx.AsyncBaseTransport) -> None:
    """Put our session in the stock one's place: HTTP/1.1, our pool, deliberate timeouts, retries, no redirects."""
    stock = client.postgrest.session
    # Of the stock one, postgrest-py needs `request` and `aclose` alone.
    session = PostgrestSession(stock.base_url, stock.headers, transport, build_timeout(settings))
    client.postgrest.session = session
    await stock.aclose()
