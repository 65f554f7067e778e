"""The page of readers: counts by status, and a list filtered by status or external id."""

import asyncio
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.api.reader_models import MAX_EXTERNAL_ID
from app.api.tasks import ServicesOf
from app.pages.ops.filters import list_url, selected
from app.pages.ops.guard import OperatorOf
from app.pages.ops.overview import readers_by_status
from app.pages.rendering import PageRenderer
from app.persistence.json_values import clean_text
from app.persistence.readers import ReaderStatus

READERS: Final = "/ops/readers"
STATUSES: Final = tuple(status.value for status in ReaderStatus)
PAGE_SIZE: Final = 50


def add_readers(router: APIRouter, pages: PageRenderer) -> None:
    """Add the page of readers."""

    @router.get("/readers")
    async def show_readers(
        session: OperatorOf, services: ServicesOf, request: Request, after: UUID | None = None
    ) -> Response:
        status = selected(request, "status", STATUSES)
        external_id = clean_text(request.query_params.get("external_id", "")).strip()[:MAX_EXTERNAL_ID] or None
        overview, page = await asyncio.gather(
            services.operator.overview(hours=1),
            services.readers.list_page(
                None,
                cursor=after,
                limit=PAGE_SIZE,
                status=ReaderStatus(status) if status else None,
                external_id=external_id,
            ),
        )
        issues = await services.libraries.issues([reader.reader_id for reader in page.readers])
        return pages.page(
            "ops/readers.html.j2",
            session=session,
            here=READERS,
            readers=page.readers,
            issues=issues,
            counts=readers_by_status(overview),
            status=status,
            statuses=STATUSES,
            external_id=external_id or "",
            more=list_url(READERS, status=status, external_id=external_id, after=str(page.next_cursor))
            if page.next_cursor
            else None,
        )
