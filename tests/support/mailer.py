"""A worker's delivery handler, one step at a time."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.deliveries import Deliveries, Delivery, DeliveryStatus
from app.persistence.outcomes import Failed, Lease
from tests.support.tasks import SOON, Claimer

SENT: Final = DeliveryStatus.SENT
FAILED: Final = DeliveryStatus.FAILED
IN_DOUBT: Final = DeliveryStatus.IN_DOUBT
PENDING: Final = DeliveryStatus.PENDING


class Mailer:
    """The steps of a worker's delivery handler."""

    def __init__(self, client: AsyncClient) -> None:
        self.claimer = Claimer(client, kinds=[TaskKind.DELIVERY])
        self.deliveries = Deliveries(client)
        self.delivery_id = UUID(int=0)

    async def claim(self) -> Lease:
        task = await self.claimer.claim_one()
        self.delivery_id = UUID(task.payload["delivery_id"])
        return task.lease

    async def begin(
        self, lease: Lease, *, repeatable_within: timedelta | None = None, sender_id: str = "resend:1"
    ) -> Any:
        return await self.deliveries.begin(
            self.delivery_id, lease, repeatable_within=repeatable_within, sender_id=sender_id
        )

    async def end(self, lease: Lease, state: Any, **more: Any) -> bool:
        return await self.deliveries.end(self.delivery_id, lease, state, **more)

    async def retry(self, lease: Lease) -> Lease:
        """The attempt fails, and the task is claimed again immediately."""
        await self.claimer.sync({lease: Failed("once more", SOON)})
        return await self.claim()

    @property
    async def status(self) -> DeliveryStatus:
        return (await self.deliveries.get(self.delivery_id)).status


async def the_one(client: AsyncClient) -> Delivery:
    (delivery,) = (await Deliveries(client).page(None)).deliveries
    return delivery
