"""`/`: the landing page."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.config import ApiSettings
from app.installation.versions import project_version
from app.pages.rendering import PageRenderer


def landing_router(pages: PageRenderer) -> APIRouter:
    """Return the router of the landing page."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def landing(request: Request) -> HTMLResponse:
        settings: ApiSettings = request.app.state.settings
        return pages.page("landing.html.j2", version=project_version(), sign_up=settings.public_sign_up)

    return router
