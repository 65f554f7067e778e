"""Server-sent events of the operator pages: the overview's figures and a task's progress.

A stream ends after a minute and the browser reconnects. So a session that was ended elsewhere loses its stream.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.api.tasks import ServicesOf
from app.api.waiting import RETRY_HINT, STREAM_HEADERS, HubOf, LastEventId, task_events
from app.errors import SupabaseError
from app.pages.ops.guard import SessionsOf, session_of
from app.pages.ops.overview_cache import OverviewCache, OverviewVersion
from app.pages.ops.sessions import Sessions, SignedOut

MAX_STREAM_SECONDS: Final = 60.0
"""Seconds until a stream ends."""

SIGNED_OUT: Final = "Your session has ended. This page is no longer updated. Reload it to sign in."
DATABASE_UNAVAILABLE: Final = "The database does not respond. The figures are not current."


def overview_cache_of(request: Request) -> OverviewCache:
    """Return the overview cache of the running application."""
    overview_cache: OverviewCache = request.app.state.overview_cache
    return overview_cache


def add_live(router: APIRouter) -> None:
    """Add the event streams."""

    @router.get("/events")
    async def overview_events(
        request: Request, sessions: SessionsOf, fingerprint: Annotated[str, Query(max_length=32)] = "", at: float = 0.0
    ) -> Response:
        async def stream(seconds: float) -> Response:
            return _stream(_figures(overview_cache_of(request), OverviewVersion(fingerprint, at), seconds))

        return await _while_signed_in(request, sessions, stream)

    @router.get("/tasks/{task_id}/events")
    async def operators_task_events(
        task_id: UUID,
        request: Request,
        sessions: SessionsOf,
        services: ServicesOf,
        hub: HubOf,
        last_event_id: LastEventId = None,
    ) -> Response:
        async def stream(seconds: float) -> Response:
            return task_events(hub, await services.tasks.get_task(task_id), last_event_id, seconds=seconds)

        return await _while_signed_in(request, sessions, stream)


async def _while_signed_in(
    request: Request, sessions: Sessions, stream: Callable[[float], Awaitable[Response]]
) -> Response:
    """Return `stream`, limited to the session's time; without a session or database, an event with a notice."""
    try:
        session = await session_of(request, sessions)
        return await stream(min(MAX_STREAM_SECONDS, sessions.seconds_left(session)))
    except SignedOut:
        return _stream(_notice("end", SIGNED_OUT))
    except SupabaseError:
        return _stream(_notice("progress", DATABASE_UNAVAILABLE))


async def _figures(overview_cache: OverviewCache, version: OverviewVersion, seconds: float) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    end, sent = clock() + seconds, None
    yield RETRY_HINT
    while clock() < end and not overview_cache.stopped:
        update = await overview_cache.updates_for(version)
        if update != sent:
            yield _event("progress", update)
            sent = update
        await overview_cache.wait()


async def _notice(name: str, notice: str) -> AsyncIterator[bytes]:
    yield RETRY_HINT
    yield _event(name, {"notice": notice})


def _event(name: str, figures: Mapping[str, str]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(figures)}\n\n".encode()


def _stream(events: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers=STREAM_HEADERS)
