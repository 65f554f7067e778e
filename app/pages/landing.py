"""`/`: the landing page."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.installation.versions import project_version
from app.pages.rendering import PageRenderer


def landing_router(pages: PageRenderer) -> APIRouter:
    """Return the router of the landing page."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def landing() -> HTMLResponse:
        return pages.page("landing.html.j2", version=project_version())

    return router
