"""The scenarios of `test_repeated_writes.py` for confirmations of addresses and sign-ups."""

from datetime import UTC, datetime

import pytest
from supabase import AsyncClient

from app.errors import ConfirmationLimitReached, SignUpLimitReached
from app.models.tasks import TaskKind
from app.persistence.confirmations import Confirmations
from app.persistence.deliveries import Deliveries, Send
from app.persistence.maintenance import Maintenance
from app.persistence.queue import TaskQueue
from app.persistence.readers import Readers, ReaderStatus
from app.persistence.sign_ups import SignUpLimits, SignUps
from tests.contract.scenarios import OTHER, TASK, WORKER, scenario
from tests.support.schedule import add_reader
from tests.support.tasks import LEASE

SIGN_UP = {"reader_id": str(OTHER), "name": "b", "email": "b@example.org", "timezone": "UTC", "send_at": "07:00"}


@scenario("Confirmations.confirm", "Confirmations.resend", "Maintenance.prune_sign_ups")
async def confirming(client: AsyncClient, times: int) -> None:
    await add_reader(client, reader_id=str(TASK), email="ada@example.org", confirm=True, welcome=True)
    confirmations, deliveries = Confirmations(client), Deliveries(client)
    for _ in range(times):
        await confirmations.resend(TASK)
    queue = TaskQueue(client, worker_id=WORKER, kinds=[TaskKind.DELIVERY], lease=LEASE)
    lease = (await queue.sync(queue.prepare(outcomes={}, slots=1))).claimed[0].lease
    (delivery,) = (await deliveries.page(None)).deliveries
    for _ in range(times):
        begun = await deliveries.begin(delivery.delivery_id, lease, repeatable_within=None, sender_id="smtp:1")
        assert isinstance(begun, Send)
    with pytest.raises(ConfirmationLimitReached):
        await confirmations.resend(TASK)
    for _ in range(times):
        assert await confirmations.confirm(TASK, 1, datetime.now(UTC).date()) == "confirmed"
    assert (await Readers(client).get(TASK)).status is ReaderStatus.ACTIVE
    assert [each.kind for each in (await deliveries.page(None)).deliveries] == ["welcome", "confirmation"]
    for _ in range(times):
        await Maintenance(client).prune_sign_ups()


@scenario("SignUps.accept", "SignUps.figures")
async def signing_up(client: AsyncClient, times: int) -> None:
    sign_ups, limits = SignUps(client), SignUpLimits(per_hour=1, per_network=1)
    for _ in range(times):
        await sign_ups.accept(OTHER, "default", SIGN_UP, "192.0.2.0/24", limits)
    with pytest.raises(SignUpLimitReached):
        await sign_ups.accept(TASK, "default", {**SIGN_UP, "reader_id": str(TASK)}, "192.0.2.0/24", limits)
    figures = await sign_ups.figures()
    assert (figures.last_hour, figures.busiest_network, figures.mails_last_day) == (1, 1, 0)
