"""Health checks: whether the process is alive (`/healthz`) and whether it can serve requests (`/readyz`)."""

import asyncio
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.problems import Problem
from app.api.tasks import ServicesOf
from app.errors import SupabaseUnavailable

READY_TIMEOUT = 4.0
"""Seconds; less than the platform's timeout for health checks (fly.toml), so that the response arrives in time."""

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process is alive, or ready to serve."""

    status: Literal["ok"] = "ok"


@router.get("/healthz")
async def healthz() -> Health:
    """Check that the process responds; contacts no other service."""
    return Health()


@router.get("/readyz", responses={503: {"model": Problem, "description": "Supabase unreachable or outdated"}})
async def readyz(services: ServicesOf) -> Health:
    """Check that Supabase responds and has the schema that this version needs."""
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            await services.schema.require()
    except TimeoutError:
        raise SupabaseUnavailable(f"Supabase did not respond within {READY_TIMEOUT:g} s.") from None
    return Health()
