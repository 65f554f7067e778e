"""Sign-in with an admin's API key, and sign-out."""

import asyncio
import re
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.api.tasks import ServicesOf
from app.pages.forms import parse_form
from app.pages.ops.guard import SIGN_IN, FormOf, SessionsOf, add_action, cookie_name, is_https
from app.pages.ops.sessions import LIFETIME
from app.pages.own_site import require_own_site
from app.pages.rendering import PageRenderer

log = structlog.get_logger(__name__)

WRONG_KEY_DELAY: Final = 1.0
"""Seconds before the response to a wrong key."""

MAX_DELAYED: Final = 8
"""Maximum number of delayed responses. Further wrong keys get 429 at once and use no memory."""

RETRY_AFTER: Final = "2"
"""Seconds until the delayed responses have been sent."""

OVERVIEW: Final = "/ops"
_OPS_PATH: Final = re.compile(r"/ops(/[a-z0-9-]+){0,3}")


def add_sign_in(router: APIRouter, pages: PageRenderer) -> None:
    """Add the sign-in and sign-out routes."""
    delayed = asyncio.Semaphore(MAX_DELAYED)

    def page(problem: str | None, next_path: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
        return pages.page("ops/sign_in.html.j2", status_code=status, problem=problem, next_path=next_path)

    async def reject(request: Request, next_path: str) -> Response:
        if delayed.locked():
            problem = "Too many sign-in attempts with wrong keys. Try again in a few seconds."
            response = page(problem, next_path, HTTPStatus.TOO_MANY_REQUESTS)
            response.headers["Retry-After"] = RETRY_AFTER
            return response
        async with delayed:
            await asyncio.sleep(WRONG_KEY_DELAY)
        log.warning("sign-in rejected", address=request.client.host if request.client else None)
        problem = "This is not an admin's API key. ADMINS lists the callers who are admins."
        return page(problem, next_path, HTTPStatus.FORBIDDEN)

    @router.get("/sign-in")
    async def show_sign_in(request: Request) -> Response:
        return page(None, _safe_next(request.query_params.get("next", "")))

    @router.post("/sign-in")
    async def sign_in(request: Request, sessions: SessionsOf) -> Response:
        require_own_site(request)
        form = await parse_form(request)
        next_path = _safe_next(form.get("next", [""])[-1])
        # Check the key first: a flood of wrong keys must not lock out an operator with the right one.
        cookie = sessions.begin(form.get("key", [""])[-1])
        if cookie is None:
            return await reject(request, next_path)
        response = RedirectResponse(next_path, HTTPStatus.SEE_OTHER)
        seconds = int(LIFETIME.total_seconds())
        response.set_cookie(
            cookie_name(request),
            cookie,
            max_age=seconds,
            path=OVERVIEW,
            secure=is_https(request),
            httponly=True,
            samesite="strict",
        )
        log.info("signed in", caller=sessions.read(cookie).operator)
        return response

    async def sign_out(form: FormOf, request: Request, sessions: SessionsOf, services: ServicesOf) -> Response:
        remaining = timedelta(seconds=max(1.0, sessions.seconds_left(form.session)))
        await services.ended_sessions.end(form.session.session_id, ttl=remaining)
        response = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
        response.delete_cookie(cookie_name(request), path=OVERVIEW, secure=is_https(request), httponly=True)
        return response

    add_action(router, "/sign-out", sign_out)


def _safe_next(path: str) -> str:
    """Return `path` if it is an operator page, otherwise the overview."""
    return path if _OPS_PATH.fullmatch(path) else OVERVIEW
