"""All pages as one router, around the one renderer."""

from functools import cache

from fastapi import APIRouter

from app.pages.home import home_router
from app.pages.item_pages import item_router
from app.pages.landing import front_router
from app.pages.ops.routes import ops_router
from app.pages.reader_exports import tools_router
from app.pages.readers import readers_router
from app.pages.rendering import PageRenderer
from app.pages.static_files import StaticFiles


def pages_router() -> APIRouter:
    """The pages, and the files that they load."""
    static, pages = _shown()
    router = APIRouter()
    router.include_router(static.router())
    router.include_router(front_router(pages))
    router.include_router(readers_router(pages))
    router.include_router(home_router(pages))
    router.include_router(item_router(pages))
    router.include_router(tools_router())
    router.include_router(ops_router(pages))
    return router


@cache
def _shown() -> tuple[StaticFiles, PageRenderer]:
    """Files and templates of this package, read once a process: three quarters of an application's making."""
    static = StaticFiles()
    return static, PageRenderer(static)
