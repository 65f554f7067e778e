"""`/v1/deliveries`: the status of each mail; admins resolve deliveries in doubt and pause or resume sending."""

from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.auth import AdminOf, CallerOf
from app.api.models import RequestBody
from app.api.paging import BAD_CURSOR, Cursor, Limit, NextCursor
from app.api.tasks import BODY_ERRORS, COMMON_ERRORS, CONFLICT, FORBIDDEN, NOT_FOUND, ServicesOf
from app.persistence.deliveries import Delivery, DeliveryStatus, ResolvedStatus

router = APIRouter(prefix="/v1/deliveries", tags=["deliveries"], responses=COMMON_ERRORS)


class DeliveryList(BaseModel):
    """A page of deliveries, newest first."""

    deliveries: list[Delivery]
    next_cursor: NextCursor


class ResolveRequest(RequestBody):
    """The outcome of a delivery as an admin established it; `pending` sends it (again)."""

    status: ResolvedStatus


class DeliveryPauseRequest(RequestBody):
    """The reason for pausing all deliveries."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class ResumeRequest(RequestBody):
    """What to do with pending deliveries: they may have been sent before a backup was restored."""

    pending: Literal["send", "skip"]


class DeliveryPause(BaseModel):
    """Whether deliveries are paused."""

    paused: bool
    reason: str | None = Field(description="Why deliveries are paused; null if they are not.")

    @classmethod
    def of(cls, reason: str | None) -> Self:
        """Build the response from the stored reason; None means not paused."""
        return cls(paused=reason is not None, reason=reason)


@router.get("", responses=BAD_CURSOR)
async def list_deliveries(
    caller: CallerOf,
    services: ServicesOf,
    status: DeliveryStatus | None = None,
    reader_id: UUID | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DeliveryList:
    """List deliveries, newest first."""
    page = await services.deliveries.page(
        caller.visible_owner, status=status, reader_id=reader_id, limit=limit, cursor=cursor
    )
    return DeliveryList(deliveries=list(page.deliveries), next_cursor=page.next_cursor)


@router.get("/pause")
async def get_delivery_pause(services: ServicesOf) -> DeliveryPause:
    """Return whether deliveries are paused. After a backup is restored they are paused until an admin resumes them."""
    return DeliveryPause.of(await services.deliveries.paused())


@router.post("/pause", responses=BODY_ERRORS | FORBIDDEN)
async def pause_deliveries(body: DeliveryPauseRequest, admin: AdminOf, services: ServicesOf) -> DeliveryPause:
    """Pause all deliveries: no new delivery starts."""
    await services.deliveries.pause(body.reason, by=admin.name)
    return DeliveryPause.of(await services.deliveries.paused())


@router.post("/resume", responses=BODY_ERRORS | FORBIDDEN)
async def resume_deliveries(body: ResumeRequest, admin: AdminOf, services: ServicesOf) -> DeliveryPause:
    """Resume deliveries."""
    await services.deliveries.resume(by=admin.name, skip_pending=body.pending == "skip")
    return DeliveryPause.of(await services.deliveries.paused())


@router.get("/{delivery_id}", responses=NOT_FOUND)
async def get_delivery(delivery_id: UUID, caller: CallerOf, services: ServicesOf) -> Delivery:
    """Get a delivery."""
    return await services.deliveries.get(delivery_id, caller.visible_owner)


@router.post("/{delivery_id}/resolve", responses=BODY_ERRORS | FORBIDDEN | NOT_FOUND | CONFLICT)
async def resolve_delivery(delivery_id: UUID, body: ResolveRequest, admin: AdminOf, services: ServicesOf) -> Delivery:
    """Resolve a delivery in doubt, or send a delivery that was not sent."""
    return await services.deliveries.resolve(delivery_id, body.status, by=admin.name)
