"""What readers do by a signed link, without an account: read a digest, leave, pause, set their schedule and words.

GET shows and changes nothing, for mail scanners follow every link; POST does it, as often as it comes. The token in the
address is the secret that a form needs: there is no cookie that another page's form could borrow.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from app.api.digests import PAGE_HEADERS
from app.api.tasks import ServicesOf
from app.errors import InvalidReader
from app.links import InvalidLink, Link
from app.pages.forms import (
    BadForm,
    broken,
    form_of,
    leads_back,
    schedule_columns,
    schedule_sent,
    schedule_shown,
    words_columns,
    words_sent,
    words_shown,
)
from app.pages.links import SHOWING_FOR, Visit, link_of, link_route, visit_of
from app.pages.rendering import PageRenderer
from app.persistence.readers import Reader, ReaderStatus
from app.services import Services

ACTIVE, PAUSED, UNSUBSCRIBED = ReaderStatus.ACTIVE, ReaderStatus.PAUSED, ReaderStatus.UNSUBSCRIBED
_OWN_WISH: Final = "by the reader, through the link in a mail"
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FIELDS: Final = (
    ("interests", "Interests, one a line", 8),
    ("goals", "What you are after, in your own words", 4),
    ("exclude", "Words to leave out, one a line", 4),
    ("authors", "Authors whose new papers are always shown, one a line", 4),
    ("categories", "arXiv categories, one a line", 4),
)

Leaver = Annotated[Visit, Depends(visit_of("unsubscribe"))]
Pauser = Annotated[Visit, Depends(visit_of("pause"))]
Scheduler = Annotated[Visit, Depends(visit_of("schedule", max_age=SHOWING_FOR))]
Writer = Annotated[Visit, Depends(visit_of("words", max_age=SHOWING_FOR))]


def readers_router(pages: PageRenderer) -> APIRouter:
    """The routes of the links in mails."""
    router = APIRouter(prefix="/r", include_in_schema=False, route_class=link_route(pages))
    _page_route(router)
    _status_routes(router, pages)
    _schedule_routes(router, pages)
    _words_routes(router, pages)
    return router


def _page_route(router: APIRouter) -> None:
    @router.get("/page/{token}")
    async def show_page(
        link: Annotated[Link, Depends(link_of("page", max_age=SHOWING_FOR))], services: ServicesOf
    ) -> HTMLResponse:
        if link.day is None:
            raise InvalidLink
        digest = await services.digests.for_day(link.reader_id, link.day)
        return HTMLResponse(digest.page, headers=PAGE_HEADERS | {"Cache-Control": "no-store"})


def _status_routes(router: APIRouter, pages: PageRenderer) -> None:
    def page(template: str, visit: Visit, reader: Reader, *, changed: bool) -> HTMLResponse:
        return pages.page(template, visit=visit, reader=reader, changed=changed)

    @router.get("/unsubscribe/{token}")
    async def show_unsubscribe(visit: Leaver) -> HTMLResponse:
        return page("unsubscribe.html.j2", visit, visit.reader, changed=False)

    @router.post("/unsubscribe/{token}")
    async def unsubscribe(visit: Leaver, services: ServicesOf, request: Request) -> HTMLResponse:
        reader_id = visit.reader.reader_id
        # A mail program's one click (RFC 8058) sends a body of its own, in whatever form: only our button leads back.
        if await leads_back(request):
            reader = await services.readers.change_status(reader_id, ACTIVE, None, from_statuses={UNSUBSCRIBED})
        else:
            others = set(ReaderStatus) - {UNSUBSCRIBED}
            reader = await services.readers.change_status(reader_id, UNSUBSCRIBED, _OWN_WISH, from_statuses=others)
        return page("unsubscribe.html.j2", visit, reader, changed=True)

    @router.get("/pause/{token}")
    async def show_pause(visit: Pauser) -> HTMLResponse:
        return page("pause.html.j2", visit, visit.reader, changed=False)

    @router.post("/pause/{token}")
    async def pause(visit: Pauser, services: ServicesOf, request: Request) -> HTMLResponse:
        reader_id = visit.reader.reader_id
        if await leads_back(request):
            reader = await services.readers.change_status(reader_id, ACTIVE, None, from_statuses={PAUSED})
        else:
            reader = await services.readers.change_status(reader_id, PAUSED, _OWN_WISH, from_statuses={ACTIVE})
        return page("pause.html.j2", visit, reader, changed=True)


def _schedule_routes(router: APIRouter, pages: PageRenderer) -> None:
    def page(visit: Visit, reader: Reader, shown: Mapping[str, Any], **outcome: Any) -> HTMLResponse:
        return _form_page(pages, "schedule.html.j2", visit=visit, reader=reader, shown=shown, days=_DAYS, **outcome)

    @router.get("/schedule/{token}")
    async def show_schedule(visit: Scheduler) -> HTMLResponse:
        return page(visit, visit.reader, schedule_shown(visit.reader))

    @router.post("/schedule/{token}")
    async def set_schedule(visit: Scheduler, services: ServicesOf, request: Request) -> HTMLResponse:
        shown = schedule_shown(visit.reader)
        try:
            shown = schedule_sent(await form_of(request))
            # What is left for the database to judge is whether it knows the timezone.
            reader = await _changed(services, visit.reader, schedule_columns(shown), judged="timezone")
        except BadForm as error:
            return page(visit, visit.reader, shown, problems=error.problems)
        return page(visit, reader, schedule_shown(reader), kept=True)


def _words_routes(router: APIRouter, pages: PageRenderer) -> None:
    def page(visit: Visit, shown: Mapping[str, Any], **outcome: Any) -> HTMLResponse:
        return _form_page(pages, "preferences.html.j2", visit=visit, shown=shown, fields=_FIELDS, **outcome)

    @router.get("/words/{token}")
    async def show_words(visit: Writer) -> HTMLResponse:
        return page(visit, words_shown(visit.reader))

    @router.post("/words/{token}")
    async def set_words(visit: Writer, services: ServicesOf, request: Request) -> HTMLResponse:
        shown = words_shown(visit.reader)
        try:
            shown = words_sent(await form_of(request))
            reader = await _changed(services, visit.reader, words_columns(visit.reader, shown), judged="form")
        except BadForm as error:
            return page(visit, shown, problems=error.problems)
        return page(visit, words_shown(reader), kept=True)


async def _changed(services: Services, reader: Reader, columns: Mapping[str, Any], *, judged: str) -> Reader:
    """The changed reader. Raises `BadForm` at the field `judged` where the database refuses, and `SupabaseError`."""
    try:
        return await services.readers.change(reader.reader_id, columns)
    except InvalidReader:
        raise broken(judged) from None


def _form_page(
    pages: PageRenderer, template: str, *, problems: Mapping[str, str] | None = None, kept: bool = False, **shown: Any
) -> HTMLResponse:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problems else HTTPStatus.OK
    return pages.page(template, status=status, problems=problems or {}, kept=kept, **shown)
