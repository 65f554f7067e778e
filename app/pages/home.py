"""A reader's place, by a signed link: the digests, search in them, what was saved, and buttons that say what was good.

GET shows and changes nothing; POST does it, and leads back to where it was pressed.
"""

from datetime import date
from http import HTTPStatus
from itertools import groupby
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from app.api.tasks import ServicesOf
from app.links import InvalidLink
from app.pages.digest_view import FEEDBACK_ACTIONS, read_digest, say
from app.pages.forms import form_of
from app.pages.links import SHOWING_FOR, Visit, link_route, visit_of
from app.pages.rendering import SECURITY_HEADERS, PageRenderer
from app.persistence.digests import MAX_QUERY
from app.services import Services

DAYS_A_PAGE: Final = 62
FOUND_AT_MOST: Final = 100
SAVED_A_PAGE: Final = 50

Visiting = Annotated[Visit, Depends(visit_of("place", max_age=SHOWING_FOR))]


def home_router(pages: PageRenderer) -> APIRouter:
    """The routes below a reader's page."""
    router = APIRouter(prefix="/r/home/{token}", include_in_schema=False, route_class=link_route(pages))
    _archive_routes(router, pages)
    _saved_routes(router, pages)
    _digest_routes(router, pages)
    return router


def _archive_routes(router: APIRouter, pages: PageRenderer) -> None:
    @router.get("/days")
    async def show_days(visit: Visiting, services: ServicesOf, before: str | None = None) -> HTMLResponse:
        until = _day(before) if before is not None else None
        days = await services.digests.list_days(visit.reader.reader_id, before=until, limit=DAYS_A_PAGE + 1)
        months = [list(each) for _, each in groupby(days[:DAYS_A_PAGE], key=lambda one: f"{one.local_day:%Y-%m}")]
        return pages.page("home_days.html.j2", visit=visit, months=months, until=until, more=len(days) > DAYS_A_PAGE)

    @router.get("/search")
    async def search(visit: Visiting, services: ServicesOf, q: str = "") -> HTMLResponse:
        asked = q[:MAX_QUERY].strip()
        found = await services.digests.search(visit.reader.reader_id, asked, limit=FOUND_AT_MOST) if asked else []
        most = len(found) == FOUND_AT_MOST
        return pages.page("home_search.html.j2", visit=visit, asked=asked, found=found, longest=MAX_QUERY, most=most)


def _saved_routes(router: APIRouter, pages: PageRenderer) -> None:
    @router.get("/saved")
    async def show_saved(visit: Visiting, services: ServicesOf, cursor: str | None = None) -> HTMLResponse:
        page = await services.reader_papers.saved(visit.reader.reader_id, limit=SAVED_A_PAGE, cursor=cursor)
        return pages.page("home_saved.html.j2", visit=visit, page=page, first=cursor is None)

    @router.post("/saved")
    async def let_go(visit: Visiting, services: ServicesOf, request: Request) -> Response:
        form = await form_of(request)
        try:
            paper_id = UUID(_only(form.get("paper", ())))
        except ValueError:
            raise InvalidLink from None
        await services.reader_papers.save(visit.reader.reader_id, paper_id, saved=False)
        return _back(visit, "/saved")


def _digest_routes(router: APIRouter, pages: PageRenderer) -> None:
    async def page(visit: Visit, services: Services, day: date | None, *, newest: bool) -> HTMLResponse:
        reader_id = visit.reader.reader_id
        shown = await read_digest(services, reader_id, day) if day is not None else None
        earlier = await services.digests.list_days(reader_id, before=day, limit=1) if day is not None else []
        return pages.page("home.html.j2", visit=visit, shown=shown, earlier=earlier, newest=newest)

    @router.get("")
    async def show_newest(visit: Visiting, services: ServicesOf) -> HTMLResponse:
        newest = await services.digests.list_days(visit.reader.reader_id, limit=1)
        return await page(visit, services, newest[0].local_day if newest else None, newest=True)

    @router.get("/{day}")
    async def show_day(visit: Visiting, services: ServicesOf, day: str) -> HTMLResponse:
        return await page(visit, services, _day(day), newest=False)

    @router.post("/{day}")
    async def say_of_an_item(visit: Visiting, services: ServicesOf, request: Request, day: str) -> Response:
        form = await form_of(request)
        saying, name = _only(form.get("do", ())), _only(form.get("item", ()))
        shown = await read_digest(services, visit.reader.reader_id, _day(day))
        item = shown.named(name)
        if saying not in FEEDBACK_ACTIONS:
            raise InvalidLink
        await say(services, visit.reader.reader_id, item.item.article, saying)
        return _back(visit, f"/{shown.day.isoformat()}#{name}")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidLink from None


def _only(values: Any) -> str:
    """The one value of a field; nothing where it is not one."""
    return values[0] if len(values) == 1 else ""


def _back(visit: Visit, where: str) -> Response:
    """Lead back, so that a reload shows the page and presses nothing."""
    headers = {name: value for name, value in SECURITY_HEADERS.items() if name != "Content-Security-Policy"}
    return RedirectResponse(f"{visit.path('place')}{where}", HTTPStatus.SEE_OTHER, headers=headers)
