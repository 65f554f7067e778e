"""The API on the emulator with three callers: ada and bot, and root, who is an admin."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from app.config import ApiSettings
from embedded.stack import Ready
from tests.support.applications import application, described_paths

NAMES = ("ada", "bot", "root")
PROFILE = {"name": "Ada", "interests": ["xyzzy"]}
DIGEST: dict[str, Any] = {"profile": PROFILE, "source_date": "2026-03-04"}


def key_of(name: str) -> str:
    return f"{name}-key-0123456789"


@dataclass
class Callers:
    """A client of the API for each caller."""

    ada: httpx.AsyncClient
    bot: httpx.AsyncClient
    root: httpx.AsyncClient

    @property
    def routes(self) -> dict[str, Any]:
        """The paths of the OpenAPI document, which takes a second to describe: few tests need them."""
        return described_paths()


@asynccontextmanager
async def callers_of(stack: Ready, **settings: Any) -> AsyncIterator[Callers]:
    """The application, called without a network between."""
    values = {
        "supabase_url": stack.url,
        "supabase_key": stack.secret_key,
        "api_keys": ",".join(f"{name}:{key_of(name)}" for name in NAMES),
        "admins": "root",
        "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }
    chosen = ApiSettings.model_validate(values | settings)
    with application(chosen) as app:
        async with app.router.lifespan_context(app), _clients(app) as clients:
            yield clients


@asynccontextmanager
async def _clients(app: FastAPI) -> AsyncIterator[Callers]:
    async with AsyncExitStack() as stack:
        transport = httpx.ASGITransport(app)
        clients = {
            name: await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=transport, base_url="http://api", headers={"X-API-Key": key_of(name)}, timeout=60
                )
            )
            for name in NAMES
        }
        yield Callers(**clients)
