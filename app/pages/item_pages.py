"""The pages behind the small links at each item of a mail: the item, and the one button that was chosen.

GET shows and changes nothing, for mail scanners follow every link; POST does it, or takes it back.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from app.api.tasks import ServicesOf
from app.links import InvalidLink
from app.mail.item_links import ACTS
from app.pages.digest_view import ShownItem, read_digest, say
from app.pages.forms import leads_back
from app.pages.links import SHOWING_FOR, Visit, link_route, visit_from_link
from app.pages.rendering import PageRenderer
from app.persistence.reader_papers import Feedback
from app.services import Services

_TAKEN_BACK_BY: Final = {"more": "unrate", "less": "unrate", "save": "unsave"}


def item_router(pages: PageRenderer) -> APIRouter:
    """The routes of these links, a page for each of `ACTS`."""
    router = APIRouter(prefix="/r", include_in_schema=False, route_class=link_route(pages))
    for act in ACTS:
        _item_routes(router, pages, act)
    return router


def _item_routes(router: APIRouter, pages: PageRenderer, act: str) -> None:
    visiting = Depends(visit_from_link(act, max_age=SHOWING_FOR))

    def page(visit: Visit, shown: ShownItem, *, changed: bool) -> HTMLResponse:
        done = _is_said(act, shown.feedback)
        return pages.page(
            "item.html.j2", visit=visit, shown=shown, act=act, label=ACTS[act], done=done, changed=changed
        )

    @router.get(f"/{act}:{{item}}/{{token}}")
    async def show_item(item: str, visit: Annotated[Visit, visiting], services: ServicesOf) -> HTMLResponse:
        return page(visit, await _item(services, visit, item), changed=False)

    @router.post(f"/{act}:{{item}}/{{token}}")
    async def say_of_item(
        item: str, visit: Annotated[Visit, visiting], services: ServicesOf, request: Request
    ) -> HTMLResponse:
        shown = await _item(services, visit, item)
        saying = _TAKEN_BACK_BY[act] if await leads_back(request) else act
        await say(services, visit.reader.reader_id, shown.item.article, saying)
        return page(visit, await _item(services, visit, item), changed=True)


async def _item(services: Services, visit: Visit, name: str) -> ShownItem:
    """The item in the digest of the link's day. Raises `InvalidLink`, `DigestNotFound`, `SupabaseError`."""
    if visit.link.day is None:
        raise InvalidLink
    return (await read_digest(services, visit.reader.reader_id, visit.link.day)).named(name)


def _is_said(act: str, said: Feedback) -> bool:
    return said.saved if act == "save" else said.liked is (act == "more")
