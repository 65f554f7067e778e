"""`/v1/deliveries`: what became of the mails; admins resolve what is in doubt, stop them and let them go on."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import Caller, CallerOf
from app.api.listings import BAD_CURSOR
from app.api.tasks import BODY, CONFLICT, EVERYWHERE, NOT_FOUND, ServicesOf
from app.errors import NotAllowed
from app.persistence.deliveries import Delivery, DeliveryStatus, ResolvedStatus

FORBIDDEN: dict[int | str, dict[str, object]] = {403: {"description": "Admins alone"}}

router = APIRouter(prefix="/v1/deliveries", tags=["deliveries"], responses=EVERYWHERE)


class DeliveryList(BaseModel):
    """A page of deliveries, newest first."""

    deliveries: list[Delivery]
    next_cursor: str | None = Field(description="For the next page; null on the last.")


class Resolution(BaseModel):
    """What became of a delivery, as an admin has found out; `pending`: it is to be sent (again)."""

    model_config = ConfigDict(extra="forbid")

    status: ResolvedStatus


class DeliveryPauseRequest(BaseModel):
    """Why nothing is to be sent."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Resumption(BaseModel):
    """What is to become of the deliveries that wait: they may have been sent before a backup was restored."""

    model_config = ConfigDict(extra="forbid")

    pending: Literal["send", "skip"]


class DeliveryPause(BaseModel):
    """Whether deliveries begin."""

    paused: str | None = Field(description="Why none begins; null: they do.")


@router.get("", responses=BAD_CURSOR)
async def list_deliveries(
    caller: CallerOf,
    services: ServicesOf,
    status: DeliveryStatus | None = None,
    reader_id: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")] = None,
) -> DeliveryList:
    """List deliveries, newest first."""
    page = await services.deliveries.page(caller.sees, status=status, reader_id=reader_id, limit=limit, cursor=cursor)
    return DeliveryList(deliveries=list(page.deliveries), next_cursor=page.next_cursor)


@router.get("/pause")
async def get_delivery_pause(services: ServicesOf) -> DeliveryPause:
    """Say whether deliveries begin: after a restored backup none does until an admin has resumed them."""
    return DeliveryPause(paused=await services.deliveries.paused())


@router.post("/pause", responses=BODY | FORBIDDEN)
async def pause_deliveries(body: DeliveryPauseRequest, caller: CallerOf, services: ServicesOf) -> DeliveryPause:
    """Begin no delivery any more."""
    _require_admin(caller)
    await services.deliveries.pause(body.reason, by=caller.name)
    return DeliveryPause(paused=await services.deliveries.paused())


@router.post("/resume", responses=BODY | FORBIDDEN)
async def resume_deliveries(body: Resumption, caller: CallerOf, services: ServicesOf) -> DeliveryPause:
    """Let deliveries begin again."""
    _require_admin(caller)
    await services.deliveries.resume(by=caller.name, skip_pending=body.pending == "skip")
    return DeliveryPause(paused=await services.deliveries.paused())


@router.get("/{delivery_id}", responses=NOT_FOUND)
async def get_delivery(delivery_id: UUID, caller: CallerOf, services: ServicesOf) -> Delivery:
    """Say what became of a delivery."""
    return await services.deliveries.get(delivery_id, caller.sees)


@router.post("/{delivery_id}/resolve", responses=BODY | FORBIDDEN | NOT_FOUND | CONFLICT)
async def resolve_delivery(delivery_id: UUID, body: Resolution, caller: CallerOf, services: ServicesOf) -> Delivery:
    """Say of a delivery in doubt what became of it, or have one sent that was not."""
    _require_admin(caller)
    return await services.deliveries.resolve(delivery_id, body.status, by=caller.name)


def _require_admin(caller: Caller) -> None:
    if not caller.admin:
        raise NotAllowed(f"{caller.name} is no admin: ADMINS names who is.")
