"""`/v1/readers`: readers, who get digests on a schedule."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.api.auth import CallerOf
from app.api.confirmations import MAIL_LIMIT, NO_CONFIRMATIONS, CanConfirm
from app.api.paging import CURSOR, Limit
from app.api.reader_import import ReaderImport
from app.api.reader_models import ImportReport, ReaderChange, ReaderList, ReaderRequest, ReaderView, exported
from app.api.tasks import BODY_ERRORS, COMMON_ERRORS, CONFLICT, NOT_FOUND, ServicesOf
from app.errors import InvalidReader
from app.persistence.readers import Reader, ReaderStatus

JSON_LINES = "application/x-ndjson"
IMPORT_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {JSON_LINES: {"schema": {"type": "string"}}}},
}
EXPORT_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {"content": {JSON_LINES: {"schema": {"type": "string"}}}, "description": "One reader per line"}
}

router = APIRouter(prefix="/v1/readers", tags=["readers"], responses=COMMON_ERRORS)


@router.post("", status_code=HTTPStatus.CREATED, responses=BODY_ERRORS | CONFLICT)
async def create_reader(
    body: ReaderRequest, caller: CallerOf, services: ServicesOf, response: Response, can_confirm: CanConfirm
) -> ReaderView:
    """Create a reader. If the `external_id` exists, the response is 409; an import changes the existing reader."""
    if body.needs_confirmation and not can_confirm:
        raise InvalidReader(f"The reader cannot be stored: {NO_CONFIRMATIONS}.")
    reader = await services.readers.create(caller.name, body.columns | {"reader_id": str(uuid4())})
    response.headers["Location"] = f"/v1/readers/{reader.reader_id}"
    return ReaderView.of(reader)


@router.get("")
async def list_readers(
    caller: CallerOf,
    services: ServicesOf,
    status: ReaderStatus | None = None,
    external_id: Annotated[str | None, Query(max_length=200, pattern=r"^[\x21-\x7e]+$")] = None,
    limit: Limit = 50,
    cursor: Annotated[UUID | None, Query(description=CURSOR)] = None,
) -> ReaderList:
    """List readers, ordered by id."""
    page = await services.readers.list_page(
        caller.visible_owner, cursor=cursor, limit=limit, status=status, external_id=external_id
    )
    return ReaderList(readers=[ReaderView.of(each) for each in page.readers], next_cursor=page.next_cursor)


@router.post("/import", responses=BODY_ERRORS, openapi_extra=IMPORT_BODY)
async def import_readers(
    request: Request, caller: CallerOf, services: ServicesOf, can_confirm: CanConfirm
) -> ImportReport:
    """Create readers, or change those with the same `external_id`: JSON lines, one reader per line, up to 10,000 lines.

    Omitted fields of an existing reader do not change, and neither does its status. An invalid line is reported with
    its number; the other lines are imported. Repeating an import changes nothing.
    """
    return await ReaderImport(services.readers, caller.name, can_confirm=can_confirm).run(request.stream())


@router.get("/export", response_class=StreamingResponse, responses=EXPORT_RESPONSE)
async def export_readers(caller: CallerOf, services: ServicesOf) -> StreamingResponse:
    """Export all readers as JSON lines, which an import accepts."""
    pages = services.readers.pages(caller.name)
    # The first page is read before the response starts, so that an error can still become a problem document.
    first: list[Reader] = await anext(pages, [])
    return StreamingResponse(_lines(first, pages), media_type=JSON_LINES)


@router.get("/{reader_id}", responses=NOT_FOUND)
async def get_reader(reader_id: UUID, caller: CallerOf, services: ServicesOf) -> ReaderView:
    """Get a reader."""
    return ReaderView.of(await services.readers.get(reader_id, caller.visible_owner))


@router.patch("/{reader_id}", responses=BODY_ERRORS | NOT_FOUND | CONFLICT)
async def change_reader(reader_id: UUID, body: ReaderChange, caller: CallerOf, services: ServicesOf) -> ReaderView:
    """Change the sent fields. A new schedule starts with its next time; a digest that is due is still written."""
    if not body.columns:
        return ReaderView.of(await services.readers.get(reader_id, caller.visible_owner))
    return ReaderView.of(await services.readers.change(reader_id, body.columns, caller.visible_owner))


@router.post("/{reader_id}/revoke-links", status_code=HTTPStatus.NO_CONTENT, responses=NOT_FOUND)
async def revoke_links(reader_id: UUID, caller: CallerOf, services: ServicesOf) -> None:
    """Revoke all links of the reader, including the feed; the next mail contains new links."""
    reader = await services.readers.get(reader_id, caller.visible_owner)
    await services.readers.revoke_links(reader.reader_id, await services.readers.link_generation(reader.reader_id))


@router.post(
    "/{reader_id}/resend-confirmation",
    status_code=HTTPStatus.NO_CONTENT,
    responses=NOT_FOUND | CONFLICT | MAIL_LIMIT,
)
async def resend_confirmation(reader_id: UUID, caller: CallerOf, services: ServicesOf) -> None:
    """Send an unconfirmed reader another confirmation mail: at most one a day and three in 30 days to an address."""
    await services.confirmations.resend(reader_id, caller.visible_owner)


@router.delete("/{reader_id}", status_code=HTTPStatus.NO_CONTENT, responses=NOT_FOUND)
async def remove_reader(reader_id: UUID, caller: CallerOf, services: ServicesOf) -> None:
    """Remove a reader with its digests, deliveries and tasks."""
    reader = await services.readers.get(reader_id, caller.visible_owner)
    await services.readers.remove(reader.reader_id, reader.owner)


async def _lines(first: list[Reader], pages: AsyncIterator[list[Reader]]) -> AsyncIterator[str]:
    yield "".join(f"{exported(reader)}\n" for reader in first)
    async for page in pages:
        yield "".join(f"{exported(reader)}\n" for reader in page)
