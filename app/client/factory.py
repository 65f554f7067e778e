"""Opens the process's one Supabase client, which the application passes to every persistence class."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from supabase import AsyncClient, AsyncClientOptions, create_async_client

from app.client.call import Transport
from app.client.generic_model_cache import generic_model_cache
from app.client.session import PostgrestSession
from app.client.transport import CallCounters, build_transport
from app.config import SupabaseSettings, is_legacy_jwt

PLACEHOLDER_KEY = "placeholder.of.jwt-shape"
"""The client's constructor refuses keys that are not JWTs, such as `sb_secret_` keys; the placeholder is never sent."""

_RESPONSE_MODELS: Final = generic_model_cache()
"""Kept for the life of the process, see `generic_model_cache`."""


@asynccontextmanager
async def open_supabase(
    settings: SupabaseSettings,
    *,
    transport: Transport | None = None,
    counters: CallCounters | None = None,
) -> AsyncIterator[AsyncClient]:
    """Open the client, yield it, close it; `transport` (for tests) replaces the network.

    Opening sends nothing, so it succeeds while Supabase is unavailable. All tasks of the event loop share the client.
    `.schema()`, sign-ins and `.postgrest.auth()` would change it for all of them; a check forbids them.
    """
    key = settings.supabase_key.get_secret_value()
    legacy = is_legacy_jwt(key)
    options = AsyncClientOptions(auto_refresh_token=False, persist_session=False)
    client = await create_async_client(settings.supabase_url, key if legacy else PLACEHOLDER_KEY, options)
    if not legacy:
        _use_secret_key(client, key)
    await _use_session(client, build_transport(settings, transport, counters))
    try:
        yield client
    finally:
        await client.postgrest.aclose()
        await client.auth.close()


def _use_secret_key(client: AsyncClient, key: str) -> None:
    """Send an `sb_secret_` key only in the apikey header: it is not a bearer token; the gateway maps it to the role.

    Must run before the first `client.postgrest`, which copies the headers.
    """
    client.supabase_key = key
    client.options.headers["apiKey"] = key
    client.options.headers.pop("Authorization", None)


async def _use_session(client: AsyncClient, transport: Transport) -> None:
    """Replace the default session by ours: HTTP/1.1, our pool, explicit timeouts, retries, no redirects."""
    default = client.postgrest.session
    # postgrest-py uses only `request` and `aclose` of its session.
    client.postgrest.session = PostgrestSession(default.base_url, default.headers, transport)
    await default.aclose()
