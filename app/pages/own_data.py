"""A reader's own data: a page that mails a link on request, and the pages behind the links: download and delete.

Mails with links are forwarded. So the links of other mails lead only to the request, and a requested link is valid for
15 minutes; afterwards it leads to the request too. GET changes nothing, because mail scanners follow links.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from fastapi.routing import APIRoute

from app.api.saved import attachment
from app.api.tasks import ServicesOf
from app.digest.bibtex import MEDIA_TYPE as BIBTEX_TYPE
from app.errors import BroadsheetError, ReaderNotFound
from app.links import InvalidLink
from app.mail.link_mail import LINK_PURPOSES
from app.pages.error_pages import error_rendering_route
from app.pages.forms import parse_form, value_of
from app.pages.links import MAX_LINK_AGE, HomeVisit, Visit, item_visit_of, link_error, link_route
from app.pages.own_data_files import data_file, papers_file
from app.pages.rendering import SECURITY_HEADERS, PageRenderer, redirect
from app.persistence.own_data import LinkKind, OwnData, RequestOutcome
from app.services import Services

ERASE_SECONDS: Final = 5.0
"""Seconds for which a request deletes rows; then the workers continue."""
SENDING_CHECK: Final = 0.2
"""Seconds between two checks whether a mail is still being sent."""
_DOWNLOAD, _DELETE = LINK_PURPOSES["download_link"], LINK_PURPOSES["delete_link"]
_KINDS: Final[Mapping[str, LinkKind]] = {purpose: kind for kind, purpose in LINK_PURPOSES.items()}
_FILE_HEADERS: Final = SECURITY_HEADERS | {"Content-Security-Policy": "default-src 'none'; sandbox"}
_REFUSALS: Final[Mapping[RequestOutcome, HTTPStatus]] = {
    "no_email": HTTPStatus.CONFLICT,
    "too_many": HTTPStatus.TOO_MANY_REQUESTS,
}

DownloadVisit = Annotated[Visit, Depends(item_visit_of(_DOWNLOAD, max_age=MAX_LINK_AGE))]
DeleteVisit = Annotated[Visit, Depends(item_visit_of(_DELETE, max_age=MAX_LINK_AGE))]


def own_data_router(pages: PageRenderer) -> APIRouter:
    """Return the router of the request page and of the requested links."""
    router = APIRouter(include_in_schema=False)
    router.include_router(_request_router(pages))
    router.include_router(_download_router(pages))
    router.include_router(_delete_router(pages))
    return router


def _request_router(pages: PageRenderer) -> APIRouter:
    router = APIRouter(prefix="/r/home/{token}/data", route_class=link_route(pages))

    def page(visit: Visit, *, status: HTTPStatus = HTTPStatus.OK, **shown: Any) -> HTMLResponse:
        context: dict[str, Any] = {"visit": visit, "requested": None, "outcome": None, "expired": False} | shown
        return pages.page("own_data.html.j2", status_code=status, **context)

    @router.get("")
    async def show_own_data(visit: HomeVisit, requested: str = "", expired: bool = False) -> HTMLResponse:
        return page(visit, requested=requested if requested in _KINDS else None, expired=expired)

    @router.post("")
    async def request_link(visit: HomeVisit, services: ServicesOf, request: Request) -> Response:
        purpose = value_of(await parse_form(request), "do")
        if purpose not in _KINDS:
            raise InvalidLink
        outcome = await services.own_data.request_link(uuid4(), visit.reader.reader_id, _KINDS[purpose])
        if outcome == "requested":
            return redirect(f"{_request_path(visit)}?requested={purpose}")
        return page(visit, status=_REFUSALS[outcome], outcome=outcome)

    return router


def _download_router(pages: PageRenderer) -> APIRouter:
    router = APIRouter(prefix=f"/r/{_DOWNLOAD}:{{item}}/{{token}}", route_class=link_route(pages))

    @router.get("")
    async def show_download(item: str, visit: DownloadVisit, services: ServicesOf) -> Response:
        if not await _is_valid(services, visit, item, "download_link"):
            return _to_request(visit)
        return pages.page("own_data_download.html.j2", visit=visit, path=visit.path(f"{_DOWNLOAD}:{item}"))

    @router.get("/data.json")
    async def download_data(item: str, visit: DownloadVisit, services: ServicesOf) -> Response:
        if not await _is_valid(services, visit, item, "download_link"):
            return _to_request(visit)
        content = await data_file(services.own_data, visit.reader.reader_id)
        headers = _FILE_HEADERS | attachment("broadsheet.json")
        return StreamingResponse(content, media_type="application/json", headers=headers)

    @router.get("/papers.bib")
    async def download_papers(item: str, visit: DownloadVisit, services: ServicesOf) -> Response:
        if not await _is_valid(services, visit, item, "download_link"):
            return _to_request(visit)
        content = await papers_file(services.own_data, visit.reader.reader_id)
        headers = _FILE_HEADERS | attachment("papers.bib")
        return StreamingResponse(content, media_type=BIBTEX_TYPE, headers=headers)

    return router


def _delete_router(pages: PageRenderer) -> APIRouter:
    router = APIRouter(prefix=f"/r/{_DELETE}:{{item}}/{{token}}", route_class=_erased_route(pages))

    @router.get("")
    async def show_delete(item: str, visit: DeleteVisit, services: ServicesOf) -> Response:
        if not await _is_valid(services, visit, item, "delete_link"):
            return _to_request(visit)
        return pages.page("own_data_delete.html.j2", visit=visit)

    @router.post("")
    async def delete_own_data(item: str, visit: DeleteVisit, services: ServicesOf) -> Response:
        begun = await services.own_data.begin_erasure(_link_id(item), visit.reader.reader_id)
        if begun == "expired":
            return _to_request(visit)
        done = await _erase(services.own_data, visit.reader.reader_id)
        return pages.page("own_data_deleted.html.j2", done=done)

    return router


def _erased_route(pages: PageRenderer) -> type[APIRoute]:
    """Return a route class for deletion links: a repeated request gets the same page, although the reader is gone."""

    def render_error(request: Request, error: BroadsheetError) -> Response:
        if isinstance(error, ReaderNotFound):
            return pages.page("own_data_deleted.html.j2", done=True)
        return link_error(pages, request, error)

    return error_rendering_route(render_error)


async def _is_valid(services: Services, visit: Visit, item: str, kind: LinkKind) -> bool:
    return await services.own_data.link_is_valid(_link_id(item), visit.reader.reader_id, kind)


def _link_id(item: str) -> UUID:
    try:
        return UUID(item)
    except ValueError:
        raise InvalidLink from None


async def _erase(own_data: OwnData, reader_id: UUID) -> bool:
    """Delete everything about a reader, and return whether it is done. Otherwise the workers continue."""
    loop = asyncio.get_running_loop()
    until = loop.time() + ERASE_SECONDS
    while (outcome := await own_data.erase(reader_id)) != "erased":
        if loop.time() >= until:
            return False
        if outcome == "sending":
            await asyncio.sleep(SENDING_CHECK)
    return True


def _request_path(visit: Visit) -> str:
    return f"{visit.path('home')}/data"


def _to_request(visit: Visit) -> Response:
    return redirect(f"{_request_path(visit)}?expired=true")
