"""The page behind the link of a confirmation mail: its button confirms the e-mail address.

GET changes nothing, because mail scanners follow every link. The page shows nothing of the reader and links to no other
page, because mails are forwarded, and a stranger may have entered the reader's values.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from app.api.tasks import ServicesOf
from app.links import CONFIRM, CONFIRM_WITHIN, InvalidLink
from app.pages.links import Visit, link_route, visit_of
from app.pages.rendering import PageRenderer
from app.persistence.readers import ReaderStatus

_STATES: Final = {ReaderStatus.UNCONFIRMED: "pending", ReaderStatus.ACTIVE: "confirmed"}
"""What the page shows. A reader with another status has used the link, and then paused or left."""

ConfirmVisit = Annotated[Visit, Depends(visit_of(CONFIRM, max_age=CONFIRM_WITHIN))]


def confirmation_router(pages: PageRenderer) -> APIRouter:
    """Return the router of the confirmation page."""
    router = APIRouter(prefix="/r", include_in_schema=False, route_class=link_route(pages))

    def page(outcome: str) -> HTMLResponse:
        return pages.page("confirmation.html.j2", outcome=outcome)

    @router.get("/confirm/{token}")
    async def show_confirmation(visit: ConfirmVisit) -> HTMLResponse:
        return page(_STATES.get(visit.reader.status, "used"))

    @router.post("/confirm/{token}")
    async def confirm(visit: ConfirmVisit, services: ServicesOf) -> HTMLResponse:
        if visit.link.day is None:
            raise InvalidLink
        if visit.reader.status not in _STATES:
            return page("used")
        reader_id, generation = visit.link.reader_id, visit.link.generation
        outcome = await services.confirmations.confirm(reader_id, generation, visit.link.day)
        if outcome == "invalid":
            raise InvalidLink
        return page(outcome)

    return router
