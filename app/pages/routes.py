"""The router of all pages."""

from functools import cache

from fastapi import APIRouter

from app.api.problems import ErrorPage
from app.pages.confirmation import confirmation_router
from app.pages.error_pages import error_page_of
from app.pages.home import home_router
from app.pages.item_pages import item_router
from app.pages.landing import landing_router
from app.pages.library_import import import_router
from app.pages.ops.routes import ops_router
from app.pages.own_data import own_data_router
from app.pages.reader_exports import exports_router
from app.pages.reader_library import library_router
from app.pages.readers import readers_router
from app.pages.rendering import PageRenderer
from app.pages.static_files import StaticFiles
from app.pages.subscribe import subscribe_router


def pages_router() -> APIRouter:
    """Return the router of all pages and their static files."""
    static, pages = _loaded()
    router = APIRouter()
    router.include_router(static.router())
    router.include_router(landing_router(pages))
    router.include_router(confirmation_router(pages))
    router.include_router(subscribe_router(pages))
    router.include_router(readers_router(pages))
    # Before the home pages, whose addresses end with a day.
    router.include_router(import_router(pages))
    router.include_router(own_data_router(pages))
    router.include_router(library_router(pages))
    router.include_router(home_router(pages))
    router.include_router(item_router(pages))
    router.include_router(exports_router(pages))
    router.include_router(ops_router(pages))
    return router


def error_page() -> ErrorPage:
    """Return the function that renders the errors of all other routes as pages."""
    return error_page_of(_loaded()[1])


@cache
def _loaded() -> tuple[StaticFiles, PageRenderer]:
    """Read the static files and open the templates once per process, not for each application."""
    static = StaticFiles()
    return static, PageRenderer(static)
