"""A reader's home pages behind a signed link: digests, search, saved papers and feedback buttons.

GET changes nothing. POST records the action and redirects to the page of the button.
"""

from datetime import date
from itertools import groupby
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from app.api.tasks import ServicesOf
from app.links import InvalidLink
from app.pages.digest_view import FEEDBACK_ACTIONS, read_digest, record_feedback
from app.pages.forms import parse_form, value_of
from app.pages.links import HomeVisit, Visit, link_route
from app.pages.rendering import PageRenderer, redirect
from app.persistence.digests import MAX_QUERY
from app.persistence.reader_libraries import LibraryProblem
from app.services import Services

DAYS_PER_PAGE: Final = 62
MAX_RESULTS: Final = 100
SAVED_PER_PAGE: Final = 50


def home_router(pages: PageRenderer) -> APIRouter:
    """Return the router of a reader's home pages."""
    router = APIRouter(prefix="/r/home/{token}", include_in_schema=False, route_class=link_route(pages))
    _archive_routes(router, pages)
    _saved_routes(router, pages)
    _digest_routes(router, pages)
    return router


def _archive_routes(router: APIRouter, pages: PageRenderer) -> None:
    @router.get("/days")
    async def show_days(visit: HomeVisit, services: ServicesOf, before: str | None = None) -> HTMLResponse:
        before_day = _parse_day(before) if before is not None else None
        days = await services.digests.list_days(visit.reader.reader_id, before=before_day, limit=DAYS_PER_PAGE + 1)
        months = [list(each) for _, each in groupby(days[:DAYS_PER_PAGE], key=lambda day: f"{day.local_day:%Y-%m}")]
        more = len(days) > DAYS_PER_PAGE
        return pages.page("home_days.html.j2", visit=visit, months=months, before=before_day, more=more)

    @router.get("/feed")
    async def show_feed(visit: HomeVisit) -> HTMLResponse:
        return pages.page("home_feed.html.j2", visit=visit)

    @router.get("/search")
    async def search(visit: HomeVisit, services: ServicesOf, q: str = "") -> HTMLResponse:
        query = q[:MAX_QUERY].strip()
        results = await services.digests.search(visit.reader.reader_id, query, limit=MAX_RESULTS) if query else []
        return pages.page(
            "home_search.html.j2",
            visit=visit,
            query=query,
            results=results,
            truncated=len(results) == MAX_RESULTS,
        )


def _saved_routes(router: APIRouter, pages: PageRenderer) -> None:
    @router.get("/saved")
    async def show_saved(visit: HomeVisit, services: ServicesOf, cursor: str | None = None) -> HTMLResponse:
        page = await services.reader_papers.saved(visit.reader.reader_id, limit=SAVED_PER_PAGE, cursor=cursor)
        return pages.page("home_saved.html.j2", visit=visit, page=page, first=cursor is None)

    @router.post("/saved")
    async def remove_saved(visit: HomeVisit, services: ServicesOf, request: Request) -> Response:
        form = await parse_form(request)
        try:
            paper_id = UUID(value_of(form, "paper"))
        except ValueError:
            raise InvalidLink from None
        await services.reader_papers.save(visit.reader.reader_id, paper_id, saved=False)
        return redirect(f"{visit.path('home')}/saved")


def _digest_routes(router: APIRouter, pages: PageRenderer) -> None:
    async def page(visit: Visit, services: Services, day: date | None, *, newest: bool) -> HTMLResponse:
        reader_id = visit.reader.reader_id
        view = await read_digest(services, reader_id, day) if day is not None else None
        earlier = await services.digests.list_days(reader_id, before=day, limit=1) if day is not None else []
        issue = (await services.libraries.issues([reader_id])).get(reader_id)
        refused = issue is not None and issue.problem_kind is LibraryProblem.KEY_REFUSED
        return pages.page(
            "home.html.j2", visit=visit, view=view, earlier=earlier, newest=newest, library_key_refused=refused
        )

    @router.get("")
    async def show_newest(visit: HomeVisit, services: ServicesOf) -> HTMLResponse:
        newest = await services.digests.list_days(visit.reader.reader_id, limit=1)
        return await page(visit, services, newest[0].local_day if newest else None, newest=True)

    @router.get("/{day}")
    async def show_day(visit: HomeVisit, services: ServicesOf, day: str) -> HTMLResponse:
        return await page(visit, services, _parse_day(day), newest=False)

    @router.post("/{day}")
    async def record_item_feedback(visit: HomeVisit, services: ServicesOf, request: Request, day: str) -> Response:
        form = await parse_form(request)
        action, name = value_of(form, "do"), value_of(form, "item")
        view = await read_digest(services, visit.reader.reader_id, _parse_day(day))
        item_view = view.item_named(name)
        if action not in FEEDBACK_ACTIONS:
            raise InvalidLink
        await record_feedback(services, visit.reader.reader_id, item_view, action)
        return redirect(f"{visit.path('home')}/{view.day.isoformat()}#{name}")


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidLink from None
