"""`/subscribe`: the sign-up page. It is off unless PUBLIC_SIGN_UP is true.

The page never reveals whether an address is known: every valid request gets the same response after the same calls,
and a worker decides whether a confirmation mail is sent. A known reader is not changed.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError

from app.api.client_network import client_network
from app.api.problems import retry_headers, route_of
from app.api.reader_models import ReaderChange, ReaderProfileRequest
from app.api.tasks import ServicesOf
from app.config import DEFAULT_CALLER, ApiSettings
from app.errors import BroadsheetError, InvalidReader, NotFound, SignUpLimitReached
from app.pages.error_pages import NO_PAGE, error_rendering_route, page_texts
from app.pages.forms import Form, InvalidForm, field_error, field_errors, parse_form, single_value
from app.pages.own_site import FormRejected, require_own_site
from app.pages.rendering import PageRenderer
from app.pages.timezones import timezone_choices
from app.persistence.sign_ups import SignUpLimits
from app.services import Services

log = structlog.get_logger(__name__)

FIELDS: Final = ("email", "interests", "timezone", "send_at")
DEFAULTS: Final = {"email": "", "interests": "", "timezone": "UTC", "send_at": "07:00"}
_NAMESPACE: Final = UUID("a3a1a9c0-6f53-4c0e-9d27-0f3ce1f2b7a4")
_TEXTS: Final[Mapping[type[BroadsheetError], tuple[str, str]]] = {
    FormRejected: (
        "Nothing was changed",
        "The form was sent from another site. Open this page again and fill in its form.",
    ),
    SignUpLimitReached: (
        "Nothing was changed",
        "Too many people sign up at the moment. Please try again later.",
    ),
}
"""Title and text of the page by error; other errors have those of every page."""


def subscribe_router(pages: PageRenderer) -> APIRouter:
    """Return the router of the sign-up page."""
    router = APIRouter(include_in_schema=False, route_class=_error_route(pages))

    def form_page(values: Mapping[str, str], problems: Mapping[str, str], status: HTTPStatus) -> HTMLResponse:
        # The id makes two requests of one form, such as after a lost response, one sign-up.
        return pages.page(
            "subscribe.html.j2",
            status_code=status,
            values=values,
            **timezone_choices(values["timezone"]),
            problems=problems,
            form_id=uuid4(),
            accepted=False,
        )

    @router.get("/subscribe")
    async def show_form(request: Request) -> HTMLResponse:
        _require_enabled(request)
        return form_page(DEFAULTS, {}, HTTPStatus.OK)

    @router.post("/subscribe")
    async def subscribe(request: Request, services: ServicesOf) -> HTMLResponse:
        settings = _require_enabled(request)
        require_own_site(request)
        limits = SignUpLimits(settings.sign_ups_per_hour, settings.sign_ups_per_network)
        values = dict(DEFAULTS)
        try:
            form = await parse_form(request)
            values = submitted_values(form)
            reader = reader_of(values)
            await _accept(services, sign_up_id_of(values, form), reader, client_network(request), limits)
        except InvalidForm as error:
            return form_page(values, error.problems, HTTPStatus.UNPROCESSABLE_ENTITY)
        return pages.page("subscribe.html.j2", status_code=HTTPStatus.ACCEPTED, accepted=True)

    return router


def submitted_values(form: Form) -> dict[str, str]:
    """Return the values of the form's fields. Raises `InvalidForm` if a field is missing."""
    return {name: "\n".join(single_value(form, name).strip().splitlines()) for name in FIELDS}


def sign_up_id_of(values: Mapping[str, str], form: Form) -> UUID:
    """Return the id of the sign-up: the same for two requests of one form with equal values."""
    return uuid5(_NAMESPACE, "\n".join([*form.get("form_id", [uuid4().hex])[:1], *values.values()]))


def reader_of(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of the new reader. Raises `InvalidForm`."""
    interests = list(dict.fromkeys(filter(None, map(str.strip, values["interests"].splitlines()))))
    if not interests:
        raise field_error("interests")
    try:
        profile = ReaderProfileRequest(interests=tuple(interests))
        change = ReaderChange(email=values["email"], timezone=values["timezone"], send_at=values["send_at"])
    except ValidationError as error:
        raise field_errors(error) from None
    # A reader has a name, which digests show; the form does not ask for one.
    name = str(change.email).partition("@")[0]
    return change.columns | {"reader_id": str(uuid4()), "name": name, "profile": profile.model_dump(mode="json")}


async def _accept(
    services: Services, sign_up_id: UUID, reader: Mapping[str, Any], network: str, limits: SignUpLimits
) -> None:
    """Create the reader. Raises `InvalidForm` for a time zone that the database does not know, and `SupabaseError`."""
    try:
        await services.sign_ups.accept(sign_up_id, DEFAULT_CALLER, reader, network, limits)
    except InvalidReader:
        raise field_error("timezone") from None


def _require_enabled(request: Request) -> ApiSettings:
    """Return the settings. Raises `NotFound` if sign-ups are off."""
    settings: ApiSettings = request.app.state.settings
    if not settings.public_sign_up:
        raise NotFound(NO_PAGE)
    return settings


def _error_route(pages: PageRenderer) -> type[APIRoute]:
    def render_error(request: Request, error: BroadsheetError) -> Response:
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("request failed", route=route_of(request.scope), error=str(error))
        title, text = _TEXTS.get(type(error)) or page_texts(error.status, error.title, str(error))
        response = pages.page("error.html.j2", status_code=error.status, title=title, text=text)
        response.headers.update(retry_headers(error))
        return response

    return error_rendering_route(render_error)
