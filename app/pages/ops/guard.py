"""Who may see and do: the session of a request, the forms that count, and the pages for what is refused."""

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
from app.api.tasks import services_of
from app.config import ApiSettings
from app.errors import BroadsheetError, SupabaseError
from app.pages.error_pages import answering
from app.pages.forms import form_of
from app.pages.ops.sessions import Session, Sessions, SignedOut
from app.pages.rendering import PageRenderer

log = structlog.get_logger(__name__)

TOKEN: Final = "token"  # noqa: S105  (the field's name)
SIGN_IN: Final = "/ops/sign-in"


class FormRefused(BroadsheetError):
    """What was sent does not come from a form that this session was shown; nothing was done."""

    status = HTTPStatus.FORBIDDEN
    title = "Form refused"


@dataclass(frozen=True)
class SentForm:
    """A form that counts: whose it is, and what it says."""

    session: Session
    fields: dict[str, str]

    def one_of(self, name: str, words: Collection[str]) -> str:
        """What a field says. Raises `FormRefused` if that is none of the words, or the field did not arrive."""
        word = self.fields.get(name)
        if word is None or word not in words:
            raise FormRefused(f"The form came incomplete: it does not say which {name} is meant.")
        return word


async def sessions_of(request: Request) -> Sessions:
    """What begins and reads sessions, by the settings of the running application."""
    return Sessions(request.app.state.settings)


SessionsOf = Annotated[Sessions, Depends(sessions_of)]


def over_https(request: Request) -> bool:
    """Whether the browser speaks https, here or to what stands in front of here."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    settings: ApiSettings = request.app.state.settings
    return "https" in {request.url.scheme, forwarded} or (settings.public_url or "").startswith("https:")


def cookie_name(request: Request) -> str:
    """The cookie's name: over https one that browsers take from nobody but https. (`__Host-` would not have a path.)"""
    return "__Secure-broadsheet-ops" if over_https(request) else "broadsheet-ops"


async def session_of(request: Request, sessions: SessionsOf) -> Session:
    """The request's session. Raises `SignedOut`, and `SupabaseError` where it cannot be asked whether it was ended."""
    session = sessions.read(request.cookies.get(cookie_name(request), ""))
    services = await services_of(request)
    if await services.ended_sessions.has_ended(session.session_id):
        raise SignedOut
    request.state.caller = Caller(session.who, admin=True)  # for the log and the metrics
    return session


OperatorOf = Annotated[Session, Depends(session_of)]


async def sent_form(request: Request, sessions: SessionsOf) -> SentForm:
    """The form that was sent. Raises `FormRefused`, `SignedOut`, `SupabaseError`."""
    require_own_site(request)
    session = await session_of(request, sessions)
    fields = {name: values[-1] for name, values in (await form_of(request)).items()}
    if not sessions.is_form_of(session, fields.pop(TOKEN, "")):
        raise FormRefused("The form is not one that you were shown since you signed in.")
    return SentForm(session, fields)


FormOf = Annotated[SentForm, Depends(sent_form)]


def require_own_site(request: Request) -> None:
    """Raise `FormRefused` if the browser says that a page of another site sent this.

    `null` is no sign of it: the pages' own policy (no-referrer) has browsers say so (Fetch standard, "append a request
    `Origin` header"). What a browser does not say, the token has to.
    """
    site, origin = request.headers.get("sec-fetch-site", "same-origin"), request.headers.get("origin", "null")
    settings: ApiSettings = request.app.state.settings
    own = {"null", settings.public_url} | {f"{scheme}://{request.headers.get('host')}" for scheme in ("http", "https")}
    if site != "same-origin" or origin not in own:
        raise FormRefused("The form was sent from a page of another site.")


def add_act(router: APIRouter, path: str, act: Callable[..., Awaitable[Response]]) -> None:
    """Add what a form's press does; whoever comes by the address alone is told that this does nothing."""

    async def by_get() -> Response:
        raise FormRefused("Nothing is done by an address alone: it takes the press of a button.")

    router.add_api_route(path, act, methods=["POST"])
    router.add_api_route(path, by_get, methods=["GET"])


def ops_route(pages: PageRenderer) -> type[APIRoute]:
    """The class of routes whose errors are pages; who is not signed in is led to where one does."""

    def refusal(request: Request, error: BroadsheetError) -> Response:
        if isinstance(error, SignedOut) and request.method == "GET":
            return RedirectResponse(f"{SIGN_IN}?next={quote(request.url.path)}", HTTPStatus.SEE_OTHER)
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("request failed", route=route_of(request.scope), error=str(error))
        return pages.page("ops/refused.html.j2", status=error.status, error=error, advice=_advice(error))

    return answering(refusal)


def _advice(error: BroadsheetError) -> str:
    match error:
        case FormRefused():
            return "Nothing was done. Open the overview anew, and press the button there."
        case SignedOut():
            return "Nothing was done. Sign in, and do it again."
        case SupabaseError():
            return "Load this page again in a moment. What you pressed may not have been done: it may be pressed again."
        case _:
            return "Nothing was done. The overview shows how things are now."
