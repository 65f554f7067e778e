"""`/`: what this is, and where everything else is."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.pages.rendering import PageRenderer
from app.versions import project_version


def front_router(pages: PageRenderer) -> APIRouter:
    """The route of the front page."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def front() -> HTMLResponse:
        return pages.page("landing.html.j2", version=project_version())

    return router
