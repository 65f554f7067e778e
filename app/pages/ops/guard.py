"""Access control of the operator pages: sessions, form tokens and error pages."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from app.api.auth import Caller
from app.api.problems import route_of
from app.api.tasks import get_services
from app.config import ApiSettings
from app.errors import BroadsheetError, SupabaseError
from app.pages.error_pages import error_rendering_route
from app.pages.forms import parse_form
from app.pages.ops.sessions import Session, Sessions, SignedOut
from app.pages.own_site import FormRejected, require_own_site
from app.pages.rendering import PageRenderer

log = structlog.get_logger(__name__)

TOKEN: Final = "token"  # noqa: S105  (a field name)
SIGN_IN: Final = "/ops/sign-in"


@dataclass(frozen=True)
class SubmittedForm:
    """A verified form: its session and its fields."""

    session: Session
    fields: dict[str, str]

    def one_of(self, name: str, allowed: Collection[str]) -> str:
        """Return the value of a field. Raises `FormRejected` if it is missing or not one of `allowed`."""
        value = self.fields.get(name)
        if value is None or value not in allowed:
            raise FormRejected(f"The form is incomplete: {name} is missing or not a known value.")
        return value


async def sessions_of(request: Request) -> Sessions:
    """Return the sessions of the running application."""
    return Sessions(request.app.state.settings)


SessionsOf = Annotated[Sessions, Depends(sessions_of)]


def is_https(request: Request) -> bool:
    """Whether the browser uses https, to this process or to a proxy in front of it."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    settings: ApiSettings = request.app.state.settings
    return "https" in {request.url.scheme, forwarded} or (settings.public_url or "").startswith("https:")


def cookie_name(request: Request) -> str:
    """Return the cookie's name. Over https, browsers accept this one only from https. (`__Host-` forbids a path.)"""
    return "__Secure-broadsheet-ops" if is_https(request) else "broadsheet-ops"


async def session_of(request: Request, sessions: SessionsOf) -> Session:
    """Return the request's session. Raises `SignedOut`, and `SupabaseError` if the ended sessions cannot be read."""
    session = sessions.read(request.cookies.get(cookie_name(request), ""))
    services = await get_services(request)
    if await services.ended_sessions.has_ended(session.session_id):
        raise SignedOut
    request.state.caller = Caller(session.operator, admin=True)  # for the log and the metrics
    return session


OperatorOf = Annotated[Session, Depends(session_of)]


async def submitted_form(request: Request, sessions: SessionsOf) -> SubmittedForm:
    """Return the verified form. Raises `FormRejected`, `SignedOut`, `SupabaseError`."""
    require_own_site(request)
    session = await session_of(request, sessions)
    fields = {name: values[-1] for name, values in (await parse_form(request)).items()}
    if not sessions.is_valid_form_token(session, fields.pop(TOKEN, "")):
        raise FormRejected("The form is not from your current session.")
    return SubmittedForm(session, fields)


FormOf = Annotated[SubmittedForm, Depends(submitted_form)]


def add_action(router: APIRouter, path: str, action: Callable[..., Awaitable[Response]]) -> None:
    """Add the POST route of a form. GET on the same path shows an error and changes nothing."""

    async def reject_get() -> Response:
        raise FormRejected("This address performs an action only when you press its button.")

    router.add_api_route(path, action, methods=["POST"])
    router.add_api_route(path, reject_get, methods=["GET"])


def ops_route(pages: PageRenderer) -> type[APIRoute]:
    """Return a route class that renders errors as pages and redirects signed-out users to the sign-in page."""

    def render_error(request: Request, error: BroadsheetError) -> Response:
        if isinstance(error, SignedOut) and request.method == "GET":
            return RedirectResponse(f"{SIGN_IN}?next={quote(request.url.path)}", HTTPStatus.SEE_OTHER)
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("request failed", route=route_of(request.scope), error=str(error))
        return pages.page("ops/error.html.j2", status_code=error.status, error=error, advice=_advice(error))

    return error_rendering_route(render_error)


def _advice(error: BroadsheetError) -> str:
    match error:
        case FormRejected():
            return "Nothing was changed. Open the overview again and press the button there."
        case SignedOut():
            return "Nothing was changed. Sign in and try again."
        case SupabaseError():
            return "Reload this page in a moment. Your action may not have been executed; repeating it is safe."
        case _:
            return "Nothing was changed. The overview shows the current state."
