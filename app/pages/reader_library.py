"""A reader's page of the library at Zotero: its form and state, and all papers with where they came from."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from app.api.reader_libraries import ConnectionsOf, LibraryRequest
from app.api.tasks import ServicesOf
from app.errors import BroadsheetError
from app.libraries.connection import LibraryKeyMissing, LibraryNotChecked, TooManyKeyChecks
from app.models.libraries import MAX_PATTERNS
from app.pages.forms import parse_form, value_of
from app.pages.links import HomeVisit, Visit, link_route
from app.pages.rendering import PageRenderer, redirect
from app.persistence.reader_libraries import ConnectedLibrary
from app.services import Services
from app.sources.zotero import KeyRefused

PAPERS_PER_PAGE: Final = 50
_ERRORS: Final = {
    "id": "Enter users/ and your user ID, such as users/475425, or groups/ and the number of the group.",
    "key": "Enter the key as Zotero shows it: 24 letters and digits.",
    "collections": f"Enter at most {MAX_PATTERNS} lines, each a path such as Thesis or Thesis/**.",
}
_OF_KEY: Final = (KeyRefused, LibraryKeyMissing)
_OF_FORM: Final = (TooManyKeyChecks, LibraryNotChecked)


def library_router(pages: PageRenderer) -> APIRouter:
    """Return the router of the library page."""
    router = APIRouter(prefix="/r/home/{token}/library", include_in_schema=False, route_class=link_route(pages))

    @router.get("")
    async def show_library(visit: HomeVisit, services: ServicesOf, cursor: str | None = None) -> HTMLResponse:
        library = await services.libraries.get(visit.reader.reader_id)
        return await _page(pages, visit, services, library, _values(library), cursor=cursor)

    @router.post("")
    async def connect(visit: HomeVisit, services: ServicesOf, connections: ConnectionsOf, request: Request) -> Response:
        form = await parse_form(request)
        values = {name: value_of(form, name) for name in ("id", "collections")}
        try:
            sent = _request(values, value_of(form, "key"))
            await connections.connect(visit.reader.reader_id, sent.id, sent.collections, sent.key)
        except ValidationError as error:
            problems = {str(each["loc"][0]): _ERRORS[str(each["loc"][0])] for each in error.errors(include_input=False)}
        except (*_OF_KEY, *_OF_FORM) as error:
            problems = {"form" if isinstance(error, _OF_FORM) else "key": _text(error)}
        else:
            return _to_page(visit)
        library = await services.libraries.get(visit.reader.reader_id)
        return await _page(pages, visit, services, library, values, problems=problems)

    @router.post("/disconnect")
    async def disconnect(visit: HomeVisit, services: ServicesOf, request: Request) -> Response:
        keep = value_of(await parse_form(request), "papers") == "keep"
        await services.libraries.disconnect(visit.reader.reader_id, keep_papers=keep)
        return _to_page(visit)

    return router


def _request(values: Mapping[str, str], key: str) -> LibraryRequest:
    """Return the submitted form as a request. Raises `ValidationError`."""
    patterns = [line for each in values["collections"].splitlines() if (line := each.strip())]
    return LibraryRequest.model_validate(
        {"id": values["id"].strip(), "key": key.strip() or None, "collections": patterns}
    )


def _values(library: ConnectedLibrary | None) -> dict[str, str]:
    """Return the connected library as values of the form; never its key."""
    return {
        "id": library.library if library else "",
        "collections": "\n".join(library.collections) if library else "",
    }


def _text(error: BroadsheetError) -> str:
    """Return the error for readers."""
    if isinstance(error, LibraryKeyMissing):
        return "Enter the key of this library."
    if isinstance(error, LibraryNotChecked):
        return "Zotero cannot check the key now, so nothing was changed. Please try again in a few minutes."
    return str(error)


async def _page(
    pages: PageRenderer,
    visit: Visit,
    services: Services,
    library: ConnectedLibrary | None,
    values: Mapping[str, str],
    *,
    problems: Mapping[str, str] | None = None,
    cursor: str | None = None,
) -> HTMLResponse:
    papers = await services.reader_papers.page(visit.reader.reader_id, limit=PAPERS_PER_PAGE, cursor=cursor)
    context: dict[str, Any] = {"library": library, "values": values, "papers": papers, "first": cursor is None}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problems else HTTPStatus.OK
    return pages.page(
        "home_library.html.j2", status_code=status, visit=visit, problems=problems or {}, saved=False, **context
    )


def _to_page(visit: Visit) -> Response:
    return redirect(f"{visit.path('home')}/library")
