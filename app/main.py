"""The API application: `create_app()`, whose lifespan opens the one Supabase client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.api.health import router as health
from app.api.problems import install_problem_handlers
from app.config import ApiSettings, load_settings
from app.services import Services
from app.supabase_client import open_supabase
from app.versions import require_locked_versions


def create_app(settings: ApiSettings | None = None) -> FastAPI:
    """Build the API; without `settings` they are read when it starts, so that building needs no environment.

    Starting raises `ConfigurationError` when the settings are wrong or the installed packages are not the locked ones.
    It succeeds while Supabase is down: `/readyz` tells.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        require_locked_versions()
        async with open_supabase(settings or load_settings(ApiSettings)) as client:
            app.state.supabase = client
            app.state.services = Services.build(client)
            yield

    app = FastAPI(title="Broadsheet", summary="Personal research digests.", lifespan=lifespan)
    install_problem_handlers(app)
    app.include_router(health)
    return app
