"""Which sender began a delivery, and which may repeat it; the envelope is deleted when it is no longer needed."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.deliveries import DeliveryStatus, Send, SkipDelivery
from app.persistence.outcomes import Completed, Failed, Lease
from app.persistence.readers import Reader, Readers
from app.persistence.tasks import TaskStateManager
from tests.support.mailer import FAILED, IN_DOUBT, PENDING, SENT, Mailer, the_one

A_DAY = timedelta(hours=24)
ENVELOPE = "select envelope from public.deliveries"


@pytest.mark.parametrize(
    ("first", "second"), [("resend:1", "resend:2"), ("smtp:1", "resend:1")], ids=["another key", "another way"]
)
async def test_only_the_sender_that_began_can_send_again(mailer: Mailer, first: str, second: str) -> None:
    lease = await mailer.claim()
    assert isinstance(await mailer.begin(lease, repeatable_within=A_DAY, sender_id=first), Send)
    again = await mailer.retry(lease)
    answer = await mailer.begin(again, repeatable_within=A_DAY, sender_id=second)
    reason = "its sender was lost while sending; not repeated: another sender began it"
    assert answer == SkipDelivery(verdict="stop", status=IN_DOUBT, reason=reason)
    assert isinstance(await mailer.begin(again, repeatable_within=A_DAY, sender_id=first), SkipDelivery), (
        "it stays in doubt"
    )


async def test_an_unrecorded_sender_counts_as_another_sender(client: AsyncClient, mailer: Mailer) -> None:
    """Begin it like a worker of the previous release, during a deployment."""
    lease = await mailer.claim()
    parameters = {
        "p_delivery_id": str(mailer.delivery_id),
        "p_token": str(lease.lease_token),
        "p_repeatable_seconds": A_DAY.total_seconds(),
    }
    assert (await client.rpc("begin_sending", parameters).execute()).data["verdict"] == "send"
    answer = await mailer.begin(await mailer.retry(lease), repeatable_within=A_DAY)
    assert isinstance(answer, SkipDelivery)
    assert answer.status is IN_DOUBT


async def test_a_repeated_mail_still_belongs_to_its_first_sender(database: asyncpg.Connection, mailer: Mailer) -> None:
    lease = await mailer.claim()
    for _ in range(2):
        assert isinstance(await mailer.begin(lease, repeatable_within=A_DAY, sender_id="resend:1"), Send)
        lease = await mailer.retry(lease)
    assert isinstance(await mailer.begin(lease, repeatable_within=A_DAY, sender_id="resend:2"), SkipDelivery)
    assert await database.fetchval("select sender_id from public.deliveries") == "resend:1"


async def test_any_sender_can_send_a_mail_that_was_not_sent(database: asyncpg.Connection, mailer: Mailer) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease, repeatable_within=A_DAY, sender_id="resend:1")
    assert await mailer.end(lease, PENDING, reason="429")
    assert isinstance(
        await mailer.begin(await mailer.retry(lease), repeatable_within=A_DAY, sender_id="resend:2"), Send
    )
    assert await database.fetchval("select sender_id from public.deliveries") == "resend:2"


async def test_an_unresolved_attempt_records_only_its_reason(client: AsyncClient, mailer: Mailer) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease, repeatable_within=A_DAY)
    for _ in range(2):
        assert await mailer.end(lease, DeliveryStatus.SENDING, reason="500 no")
    unresolved = await the_one(client)
    assert (unresolved.status, unresolved.reason, unresolved.ended_at) == (DeliveryStatus.SENDING, "500 no", None)
    again = await mailer.retry(lease)
    assert (await mailer.begin(again, repeatable_within=A_DAY)).begun_before
    assert not await mailer.end(lease, DeliveryStatus.SENDING, reason="from the previous lease")
    assert (await the_one(client)).reason is None, "this attempt has reported nothing yet"
    assert await mailer.end(again, SENT)
    assert not await mailer.end(again, DeliveryStatus.SENDING, reason="too late")


@pytest.mark.parametrize(
    ("reported", "error", "reason"),
    [("500 no", "the last attempt failed", "500 no"), (None, "timeout: too slow", "timeout: too slow")],
    ids=["what the attempt met", "what the task met"],
)
async def test_a_delivery_in_doubt_shows_the_last_attempts_error(
    client: AsyncClient, mailer: Mailer, reported: str | None, error: str, reason: str
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease, repeatable_within=A_DAY)
    if reported is not None:
        await mailer.end(lease, DeliveryStatus.SENDING, reason=reported)
    await mailer.claimer.sync({lease: Failed(error, None)})
    found = await the_one(client)
    assert (found.status, found.reason) == (IN_DOUBT, reason)


async def test_a_delivery_stays_in_doubt_despite_a_later_refusal(
    client: AsyncClient, reader: Reader, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease, repeatable_within=A_DAY)
    await mailer.end(lease, DeliveryStatus.SENDING, reason="500 no")
    await Readers(client).change(reader.reader_id, {"status": "unsubscribed"})
    answer = await mailer.begin(await mailer.retry(lease), repeatable_within=A_DAY)
    reason = "500 no; not repeated: the reader is unsubscribed"
    assert answer == SkipDelivery(verdict="stop", status=IN_DOUBT, reason=reason)


async def _sent(mailer: Mailer, lease: Lease) -> Any:
    await mailer.end(lease, SENT)


async def _failed(mailer: Mailer, lease: Lease) -> Any:
    await mailer.end(lease, FAILED)


async def _not_sent(mailer: Mailer, lease: Lease) -> Any:
    await mailer.end(lease, PENDING)


async def _known_late(mailer: Mailer, lease: Lease) -> Any:
    await mailer.end(lease, IN_DOUBT)
    await mailer.end(lease, SENT)


async def _already_resolved(mailer: Mailer, lease: Lease) -> Any:
    await mailer.end(lease, IN_DOUBT)
    await mailer.deliveries.resolve(mailer.delivery_id, SENT, by="ada")


@pytest.mark.parametrize("end", [_sent, _failed, _not_sent, _known_late, _already_resolved])
async def test_names_and_addresses_are_deleted_when_resolved(
    database: asyncpg.Connection, mailer: Mailer, end: Callable[[Mailer, Lease], Awaitable[Any]]
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    assert "ada@example.org" in await database.fetchval(ENVELOPE)
    await end(mailer, lease)
    assert await database.fetchval(ENVELOPE) is None


async def test_a_mail_in_doubt_keeps_its_recipient(database: asyncpg.Connection, mailer: Mailer) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    await mailer.end(lease, IN_DOUBT)
    await mailer.claimer.sync({lease: Completed({})})
    assert "ada@example.org" in await database.fetchval(ENVELOPE)


async def test_a_cancelled_task_keeps_no_address(
    client: AsyncClient, database: asyncpg.Connection, mailer: Mailer
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    await mailer.end(lease, PENDING)
    await TaskStateManager(client).cancel_task(lease.task_id)
    await mailer.claimer.sync({lease: Failed("once more", timedelta(0))})
    assert (await the_one(client)).status is DeliveryStatus.SKIPPED
    assert await database.fetchval(ENVELOPE) is None


async def test_only_sending_or_in_doubt_can_hold_an_address(database: asyncpg.Connection, mailer: Mailer) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    with pytest.raises(asyncpg.CheckViolationError, match="deliveries_envelope_while_needed"):
        await database.execute("update public.deliveries set status = 'sent'")
