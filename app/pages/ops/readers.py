"""Readers: how many there are of each status, and a list of them, by status or by what their caller calls them."""

import asyncio
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.api.tasks import ServicesOf
from app.pages.ops.filters import chosen, query
from app.pages.ops.guard import OperatorOf
from app.pages.ops.overview import readers_by_status
from app.pages.rendering import PageRenderer
from app.persistence.json_values import clean_text
from app.persistence.readers import ReaderStatus

READERS: Final = "/ops/readers"
STATES: Final = tuple(status.value for status in ReaderStatus)
AT_ONCE: Final = 50
LONGEST_ID: Final = 200


def add_readers(router: APIRouter, pages: PageRenderer) -> None:
    """Add the page of readers."""

    @router.get("/readers")
    async def show_readers(
        session: OperatorOf, services: ServicesOf, request: Request, after: UUID | None = None
    ) -> Response:
        status = chosen(request, "status", STATES)
        external_id = clean_text(request.query_params.get("external_id", "")).strip()[:LONGEST_ID] or None
        overview, page = await asyncio.gather(
            services.operator.overview(hours=1),
            services.readers.list_page(
                None,
                cursor=after,
                limit=AT_ONCE,
                status=ReaderStatus(status) if status else None,
                external_id=external_id,
            ),
        )
        return pages.page(
            "ops/readers.html.j2",
            session=session,
            here=READERS,
            readers=page.readers,
            counts=readers_by_status(overview),
            wanted=status,
            states=STATES,
            external_id=external_id or "",
            more=query(READERS, status=status, external_id=external_id, after=str(page.next_cursor))
            if page.next_cursor
            else None,
        )
