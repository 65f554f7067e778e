"""What readers do by a signed link, without an account: read a digest, leave, pause, set their schedule and words.

GET shows and changes nothing, for mail scanners follow every link; POST does it, as often as it comes. The token in the
address is the secret that a form needs: there is no cookie that another page's form could borrow.
"""

from collections.abc import Mapping
from datetime import timedelta
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
    schedule_columns,
    schedule_sent,
    schedule_shown,
    words_columns,
    words_sent,
    words_shown,
)
from app.pages.links import link_of, link_route, reader_of
from app.pages.rendering import PageRenderer
from app.persistence.readers import Reader, ReaderStatus
from app.services import Services

SHOWING_FOR: Final = timedelta(days=90)
"""How old a link may be that shows what a reader wrote. Those that stop mails never grow too old."""

ACTIVE, PAUSED, UNSUBSCRIBED = ReaderStatus.ACTIVE, ReaderStatus.PAUSED, ReaderStatus.UNSUBSCRIBED
_OWN_WISH: Final = "by the reader, through the link in a mail"
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FIELDS: Final = (
    ("interests", "Interests, one a line", 8),
    ("goals", "What you are after, in your own words", 4),
    ("leave_out", "Words to leave out, one a line", 4),
    ("authors", "Authors whose new papers are always shown, one a line", 4),
    ("categories", "arXiv categories, one a line", 4),
)

Leaver = Annotated[Reader, Depends(reader_of("unsubscribe"))]
Pauser = Annotated[Reader, Depends(reader_of("pause"))]
Scheduler = Annotated[Reader, Depends(reader_of("schedule", max_age=SHOWING_FOR))]
Writer = Annotated[Reader, Depends(reader_of("words", max_age=SHOWING_FOR))]


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
        digest = await services.digests.of_day(link.reader_id, link.day)
        return HTMLResponse(digest.page, headers=PAGE_HEADERS | {"Cache-Control": "no-store"})


def _status_routes(router: APIRouter, pages: PageRenderer) -> None:
    @router.get("/unsubscribe/{token}")
    async def show_unsubscribe(reader: Leaver) -> HTMLResponse:
        return pages.page("unsubscribe.html.j2", reader=reader, changed=False)

    @router.post("/unsubscribe/{token}")
    async def unsubscribe(reader: Leaver, services: ServicesOf, request: Request) -> HTMLResponse:
        # A mail program's one click (RFC 8058) sends a body of its own, in whatever form: only our button leads back.
        if await _leads_back(request):
            reader = await services.readers.move(reader.reader_id, ACTIVE, None, among={UNSUBSCRIBED})
        else:
            others = set(ReaderStatus) - {UNSUBSCRIBED}
            reader = await services.readers.move(reader.reader_id, UNSUBSCRIBED, _OWN_WISH, among=others)
        return pages.page("unsubscribe.html.j2", reader=reader, changed=True)

    @router.get("/pause/{token}")
    async def show_pause(reader: Pauser) -> HTMLResponse:
        return pages.page("pause.html.j2", reader=reader, changed=False)

    @router.post("/pause/{token}")
    async def pause(reader: Pauser, services: ServicesOf, request: Request) -> HTMLResponse:
        if await _leads_back(request):
            reader = await services.readers.move(reader.reader_id, ACTIVE, None, among={PAUSED})
        else:
            reader = await services.readers.move(reader.reader_id, PAUSED, _OWN_WISH, among={ACTIVE})
        return pages.page("pause.html.j2", reader=reader, changed=True)


def _schedule_routes(router: APIRouter, pages: PageRenderer) -> None:
    def page(reader: Reader, shown: Mapping[str, Any], **outcome: Any) -> HTMLResponse:
        return _form_page(pages, "schedule.html.j2", reader=reader, shown=shown, days=_DAYS, **outcome)

    @router.get("/schedule/{token}")
    async def show_schedule(reader: Scheduler) -> HTMLResponse:
        return page(reader, schedule_shown(reader))

    @router.post("/schedule/{token}")
    async def set_schedule(reader: Scheduler, services: ServicesOf, request: Request) -> HTMLResponse:
        shown = schedule_shown(reader)
        try:
            shown = schedule_sent(await form_of(request))
            # What is left for the database to judge is whether it knows the zone.
            reader = await _changed(services, reader, schedule_columns(shown), judged="zone")
        except BadForm as error:
            return page(reader, shown, problems=error.problems)
        return page(reader, schedule_shown(reader), kept=True)


def _words_routes(router: APIRouter, pages: PageRenderer) -> None:
    def page(reader: Reader, shown: Mapping[str, Any], **outcome: Any) -> HTMLResponse:
        return _form_page(pages, "words.html.j2", reader=reader, shown=shown, fields=_FIELDS, **outcome)

    @router.get("/words/{token}")
    async def show_words(reader: Writer) -> HTMLResponse:
        return page(reader, words_shown(reader))

    @router.post("/words/{token}")
    async def set_words(reader: Writer, services: ServicesOf, request: Request) -> HTMLResponse:
        shown = words_shown(reader)
        try:
            shown = words_sent(await form_of(request))
            reader = await _changed(services, reader, words_columns(reader, shown), judged="form")
        except BadForm as error:
            return page(reader, shown, problems=error.problems)
        return page(reader, words_shown(reader), kept=True)


async def _leads_back(request: Request) -> bool:
    return (await form_of(request)).get("do") == ["back"]


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
