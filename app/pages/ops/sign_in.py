"""Signing in with an admin's API key, and out again."""

import asyncio
import re
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.api.tasks import ServicesOf
from app.pages.forms import form_of
from app.pages.ops.guard import SIGN_IN, FormOf, SessionsOf, add_act, cookie_name, over_https, require_own_site
from app.pages.ops.sessions import LIFETIME
from app.pages.rendering import PageRenderer

log = structlog.get_logger(__name__)

PAUSE: Final = 1.0
"""Seconds until a wrong key gets its response."""

MAX_DELAYED: Final = 8
"""Wrong sign-ins that wait for their response at the same time. Others get 429 at once, and no attempt costs memory."""

RETRY_AFTER: Final = "2"
"""Seconds; the delayed sign-ins have ended by then."""

OVERVIEW: Final = "/ops"
_OWN_PAGE: Final = re.compile(r"/ops(/[a-z0-9-]+){0,3}")


def add_sign_in(router: APIRouter, pages: PageRenderer) -> None:
    """Add the routes of signing in and out."""
    delayed = asyncio.Semaphore(MAX_DELAYED)

    def page(wrong: str | None, requested: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
        return pages.page("ops/sign_in.html.j2", status=status, wrong=wrong, requested=requested)

    async def refuse(request: Request, requested: str) -> Response:
        if delayed.locked():
            wrong = "Too many wrong keys are being tried. Check the key, and try again in a few seconds."
            refused = page(wrong, requested, HTTPStatus.TOO_MANY_REQUESTS)
            refused.headers["Retry-After"] = RETRY_AFTER
            return refused
        async with delayed:
            await asyncio.sleep(PAUSE)
        log.warning("sign-in refused", address=request.client.host if request.client else None)
        return page(
            "This is not the key of an admin. ADMINS names the callers who are.", requested, HTTPStatus.FORBIDDEN
        )

    @router.get("/sign-in")
    async def show_sign_in(request: Request) -> Response:
        return page(None, _own_page(request.query_params.get("next", "")))

    @router.post("/sign-in")
    async def sign_in(request: Request, sessions: SessionsOf) -> Response:
        require_own_site(request)
        form = await form_of(request)
        requested = _own_page(form.get("next", [""])[-1])
        # The key comes first: a flood of wrong keys must not keep out an operator who has the right one.
        cookie = sessions.begin(form.get("key", [""])[-1])
        if cookie is None:
            return await refuse(request, requested)
        answer = RedirectResponse(requested, HTTPStatus.SEE_OTHER)
        seconds = int(LIFETIME.total_seconds())
        answer.set_cookie(
            cookie_name(request),
            cookie,
            max_age=seconds,
            path=OVERVIEW,
            secure=over_https(request),
            httponly=True,
            samesite="strict",
        )
        log.info("signed in", caller=sessions.read(cookie).who)
        return answer

    async def sign_out(form: FormOf, request: Request, sessions: SessionsOf, services: ServicesOf) -> Response:
        left = timedelta(seconds=max(1.0, sessions.seconds_left(form.session)))
        await services.ended_sessions.end(form.session.session_id, ttl=left)
        answer = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
        answer.delete_cookie(cookie_name(request), path=OVERVIEW, secure=over_https(request), httponly=True)
        return answer

    add_act(router, "/sign-out", sign_out)


def _own_page(path: str) -> str:
    """`path`, if it is one of the operator's pages; else the overview."""
    return path if _OWN_PAGE.fullmatch(path) else OVERVIEW
