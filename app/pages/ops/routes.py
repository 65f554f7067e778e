"""The router of the operator pages."""

from fastapi import APIRouter

from app.pages.ops.deliveries import add_deliveries
from app.pages.ops.failures import add_failures
from app.pages.ops.guard import ops_route
from app.pages.ops.live_updates import add_live
from app.pages.ops.overview import add_overview
from app.pages.ops.readers import add_readers
from app.pages.ops.sign_in import add_sign_in
from app.pages.ops.tasks import add_tasks
from app.pages.rendering import PageRenderer


def ops_router(pages: PageRenderer) -> APIRouter:
    """Return the router of `/ops`."""
    router = APIRouter(prefix="/ops", include_in_schema=False, route_class=ops_route(pages))
    add_sign_in(router, pages)
    add_overview(router, pages)
    add_live(router)
    add_failures(router)
    for add in (add_tasks, add_deliveries, add_readers):
        add(router, pages)
    return router
