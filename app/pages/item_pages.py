"""The pages behind the feedback links of a mail: each shows one item and one button.

GET changes nothing, because mail scanners follow every link. POST records the feedback or undoes it.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from app.api.tasks import ServicesOf
from app.links import InvalidLink
from app.mail.item_links import ITEM_ACTIONS
from app.pages.digest_view import ItemView, read_digest, record_feedback
from app.pages.forms import is_undo
from app.pages.links import MAX_LINK_AGE, Visit, item_visit_of, link_route
from app.pages.rendering import PageRenderer
from app.persistence.reader_papers import Feedback
from app.services import Services

_UNDO_ACTION: Final = {"more": "unrate", "less": "unrate", "save": "unsave"}


def item_router(pages: PageRenderer) -> APIRouter:
    """Return the router with one page for each of `ITEM_ACTIONS`."""
    router = APIRouter(prefix="/r", include_in_schema=False, route_class=link_route(pages))
    for action in ITEM_ACTIONS:
        _item_routes(router, pages, action)
    return router


def _item_routes(router: APIRouter, pages: PageRenderer, action: str) -> None:
    item_visit = Depends(item_visit_of(action, max_age=MAX_LINK_AGE))

    def page(visit: Visit, view: ItemView, *, changed: bool) -> HTMLResponse:
        return pages.page(
            "item.html.j2",
            visit=visit,
            view=view,
            action=action,
            label=ITEM_ACTIONS[action],
            done=_is_recorded(action, view.feedback),
            changed=changed,
        )

    @router.get(f"/{action}:{{item}}/{{token}}")
    async def show_item(item: str, visit: Annotated[Visit, item_visit], services: ServicesOf) -> HTMLResponse:
        return page(visit, await _item(services, visit, item), changed=False)

    @router.post(f"/{action}:{{item}}/{{token}}")
    async def record_item_feedback(
        item: str, visit: Annotated[Visit, item_visit], services: ServicesOf, request: Request
    ) -> HTMLResponse:
        view = await _item(services, visit, item)
        requested = _UNDO_ACTION[action] if await is_undo(request) else action
        recorded = await record_feedback(services, visit.reader.reader_id, view, requested)
        return page(visit, recorded, changed=True)


async def _item(services: Services, visit: Visit, name: str) -> ItemView:
    """Return the item in the digest of the link's day. Raises `InvalidLink`, `DigestNotFound`, `SupabaseError`."""
    if visit.link.day is None:
        raise InvalidLink
    return (await read_digest(services, visit.reader.reader_id, visit.link.day)).item_named(name)


def _is_recorded(action: str, feedback: Feedback) -> bool:
    return feedback.saved if action == "save" else feedback.liked is (action == "more")
