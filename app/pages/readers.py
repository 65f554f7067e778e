"""Pages behind the signed links of mails: read a digest, unsubscribe, pause, edit schedule and preferences.

GET changes nothing, because mail scanners follow every link. POST is idempotent. The token in the URL authenticates
the form; there are no cookies, so cross-site request forgery is not possible.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from app.api.digest_pages import DigestPagesOf
from app.api.tasks import ServicesOf
from app.errors import InvalidReader
from app.links import InvalidLink, Link
from app.pages.forms import (
    InvalidForm,
    field_error,
    is_undo,
    parse_form,
    preference_columns,
    preference_values,
    require_preferences,
    require_schedule,
    schedule_columns,
    schedule_values,
    submitted_preferences,
    submitted_schedule,
)
from app.pages.limits import SIZE_LIMITS
from app.pages.links import MAX_LINK_AGE, Visit, link_of, link_route, visit_of
from app.pages.rendering import PageRenderer
from app.pages.timezones import timezone_choices
from app.persistence.readers import Reader, ReaderStatus, WhenEmpty
from app.services import Services

ACTIVE, PAUSED, UNSUBSCRIBED = ReaderStatus.ACTIVE, ReaderStatus.PAUSED, ReaderStatus.UNSUBSCRIBED
_BY_READER_LINK: Final = "by the reader, through the link in a mail"
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FIELDS: Final = (
    ("interests", "Interests, one per line", 8),
    ("goals", "Goals", 4),
    ("exclude", "Topics to exclude, one per line", 4),
    ("authors", "Authors whose new papers are always shown, one per line", 4),
    ("categories", "arXiv categories, one per line", 4),
)

_SIZES: Final = {"max_papers": "Most papers in a digest", "max_news": "Most news items in a digest"}
_WHEN_EMPTY: Final[dict[WhenEmpty, str]] = {"skip": "Send no mail", "notify": "Send a mail with one line"}

_LANGUAGES: Final = {
    "ar": "Arabic", "zh-Hans": "Chinese (simplified)", "zh-Hant": "Chinese (traditional)", "cs": "Czech",
    "da": "Danish", "nl": "Dutch", "en": "English", "fi": "Finnish", "fr": "French", "de": "German", "el": "Greek",
    "he": "Hebrew",
    "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "nb": "Norwegian", "fa": "Persian", "pl": "Polish", "pt": "Portuguese", "pt-BR": "Portuguese (Brazil)",
    "ro": "Romanian", "ru": "Russian", "es": "Spanish", "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian",
    "vi": "Vietnamese",
}  # fmt: skip
"""Names of the languages that the form offers; a reader's own language is offered too."""

UnsubscribeVisit = Annotated[Visit, Depends(visit_of("unsubscribe"))]
PauseVisit = Annotated[Visit, Depends(visit_of("pause"))]
ScheduleVisit = Annotated[Visit, Depends(visit_of("schedule", max_age=MAX_LINK_AGE))]
PreferencesVisit = Annotated[Visit, Depends(visit_of("preferences", max_age=MAX_LINK_AGE))]


def readers_router(pages: PageRenderer) -> APIRouter:
    """Return the router of the links in mails."""
    router = APIRouter(prefix="/r", include_in_schema=False, route_class=link_route(pages))
    _page_route(router)
    _status_routes(router, pages)
    _schedule_routes(router, pages)
    _preferences_routes(router, pages)
    return router


def _page_route(router: APIRouter) -> None:
    @router.get("/page/{token}")
    async def show_page(
        link: Annotated[Link, Depends(link_of("page", max_age=MAX_LINK_AGE))],
        services: ServicesOf,
        digest_pages: DigestPagesOf,
    ) -> HTMLResponse:
        if link.day is None:
            raise InvalidLink
        digest = await services.digests.for_day(link.reader_id, link.day)
        return await digest_pages.response(digest, cacheable=False)


def _status_routes(router: APIRouter, pages: PageRenderer) -> None:
    def page(template: str, visit: Visit, reader: Reader, *, changed: bool) -> HTMLResponse:
        return pages.page(template, visit=visit, reader=reader, changed=changed)

    @router.get("/unsubscribe/{token}")
    async def show_unsubscribe(visit: UnsubscribeVisit) -> HTMLResponse:
        return page("unsubscribe.html.j2", visit, visit.reader, changed=False)

    @router.post("/unsubscribe/{token}")
    async def unsubscribe(visit: UnsubscribeVisit, services: ServicesOf, request: Request) -> HTMLResponse:
        reader_id = visit.reader.reader_id
        # A one-click request (RFC 8058) may have any body. Only our undo button subscribes again.
        if await is_undo(request):
            reader = await services.readers.change_status(reader_id, ACTIVE, None, from_statuses={UNSUBSCRIBED})
        else:
            others = set(ReaderStatus) - {UNSUBSCRIBED}
            reader = await services.readers.change_status(
                reader_id, UNSUBSCRIBED, _BY_READER_LINK, from_statuses=others
            )
        return page("unsubscribe.html.j2", visit, reader, changed=True)

    @router.get("/pause/{token}")
    async def show_pause(visit: PauseVisit) -> HTMLResponse:
        return page("pause.html.j2", visit, visit.reader, changed=False)

    @router.post("/pause/{token}")
    async def pause(visit: PauseVisit, services: ServicesOf, request: Request) -> HTMLResponse:
        reader_id = visit.reader.reader_id
        if await is_undo(request):
            reader = await services.readers.change_status(reader_id, ACTIVE, None, from_statuses={PAUSED})
        else:
            reader = await services.readers.change_status(reader_id, PAUSED, _BY_READER_LINK, from_statuses={ACTIVE})
        return page("pause.html.j2", visit, reader, changed=True)


def _schedule_routes(router: APIRouter, pages: PageRenderer) -> None:
    def page(visit: Visit, reader: Reader, values: Mapping[str, Any], **outcome: Any) -> HTMLResponse:
        context = {"days": _DAYS, "choices_when_empty": _WHEN_EMPTY} | timezone_choices(values["timezone"])
        return _form_page(pages, "schedule.html.j2", visit=visit, reader=reader, values=values, **context, **outcome)

    @router.get("/schedule/{token}")
    async def show_schedule(visit: ScheduleVisit) -> HTMLResponse:
        return page(visit, visit.reader, schedule_values(visit.reader))

    @router.post("/schedule/{token}")
    async def set_schedule(visit: ScheduleVisit, services: ServicesOf, request: Request) -> HTMLResponse:
        form = await parse_form(request)
        values = submitted_schedule(visit.reader, form)
        try:
            require_schedule(form)
            # The database checks only whether it knows the time zone.
            reader = await _update_reader(services, visit.reader, schedule_columns(values), error_field="timezone")
        except InvalidForm as error:
            return page(visit, visit.reader, values, problems=error.problems)
        return page(visit, reader, schedule_values(reader), saved=True)


def _preferences_routes(router: APIRouter, pages: PageRenderer) -> None:
    def page(visit: Visit, values: Mapping[str, Any], **outcome: Any) -> HTMLResponse:
        languages = {values["language"]: values["language"]} | _LANGUAGES
        context: dict[str, Any] = {"fields": _FIELDS, "languages": languages}
        context |= {"sizes": _SIZES, "size_limits": SIZE_LIMITS}
        return _form_page(pages, "preferences.html.j2", visit=visit, values=values, **context, **outcome)

    @router.get("/preferences/{token}")
    async def show_preferences(visit: PreferencesVisit) -> HTMLResponse:
        return page(visit, preference_values(visit.reader))

    @router.post("/preferences/{token}")
    async def set_preferences(visit: PreferencesVisit, services: ServicesOf, request: Request) -> HTMLResponse:
        form = await parse_form(request)
        values = submitted_preferences(visit.reader, form)
        try:
            require_preferences(form)
            reader = await _update_reader(
                services, visit.reader, preference_columns(visit.reader, values), error_field="form"
            )
        except InvalidForm as error:
            return page(visit, values, problems=error.problems)
        return page(visit, preference_values(reader), saved=True)


async def _update_reader(services: Services, reader: Reader, columns: Mapping[str, Any], *, error_field: str) -> Reader:
    """Update the reader. Raises `InvalidForm` for `error_field` if the database rejects it, and `SupabaseError`."""
    try:
        return await services.readers.change(reader.reader_id, columns)
    except InvalidReader:
        raise field_error(error_field) from None


def _form_page(
    pages: PageRenderer,
    template: str,
    *,
    problems: Mapping[str, str] | None = None,
    saved: bool = False,
    **context: Any,
) -> HTMLResponse:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problems else HTTPStatus.OK
    return pages.page(template, status_code=status, problems=problems or {}, saved=saved, **context)
