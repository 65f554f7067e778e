"""What the operator's pages follow: the overview's figures and a task's progress, for as long as the session lasts.

A stream ends after a minute, and the browser comes back by itself: so it ends for who was signed out elsewhere.
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
from app.pages.ops.overview_cache import CachedOverview, OverviewCache
from app.pages.ops.sessions import Sessions, SignedOut

LONGEST: Final = 60.0
"""Seconds that a stream lasts."""

SIGNED_OUT: Final = "Your session is over: what you see is no longer kept up to date. Load this page again to sign in."
AWAY: Final = "The database does not answer: what you see is older."


def overview_cache_of(request: Request) -> OverviewCache:
    """The overview_cache of the running application."""
    overview_cache: OverviewCache = request.app.state.overview_cache
    return overview_cache


def add_live(router: APIRouter) -> None:
    """Add the streams."""

    @router.get("/events")
    async def overview_events(
        request: Request, sessions: SessionsOf, shape: Annotated[str, Query(max_length=32)] = "", at: float = 0.0
    ) -> Response:
        async def stream(seconds: float) -> Response:
            return _stream(_figures(overview_cache_of(request), CachedOverview(shape, at), seconds))

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
    """What `stream` gives for as many seconds as it may last; else what a page shows in place of it."""
    try:
        session = await session_of(request, sessions)
        return await stream(min(LONGEST, sessions.seconds_left(session)))
    except SignedOut:
        return _stream(_told("end", SIGNED_OUT))
    except SupabaseError:
        return _stream(_told("progress", AWAY))


async def _figures(overview_cache: OverviewCache, page: CachedOverview, seconds: float) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    until, told = clock() + seconds, None
    yield RETRY_HINT
    while clock() < until and not overview_cache.stopped:
        news = await overview_cache.news(page)
        if news != told:
            yield _event("progress", news)
            told = news
        await overview_cache.rest()


async def _told(name: str, state: str) -> AsyncIterator[bytes]:
    yield RETRY_HINT
    yield _event(name, {"state": state})


def _event(name: str, figures: Mapping[str, str]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(figures)}\n\n".encode()


def _stream(events: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers=STREAM_HEADERS)
