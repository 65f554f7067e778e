"""A mail that an admin has sent again is sent, as the reader is now, however late it is."""

from typing import Any

import pytest
from supabase import AsyncClient

from app.persistence.deliveries import Send, SkipDelivery
from app.persistence.outcomes import Completed, Failed, Outcome
from app.persistence.readers import Reader, Readers
from tests.support.mailer import FAILED, IN_DOUBT, PENDING, SENT, Mailer
from tests.support.schedule import Clock


@pytest.mark.parametrize("state", ["in_doubt", "failed", "skipped"])
async def test_a_mail_that_is_sent_again_is_not_too_late(
    client: AsyncClient, reader: Reader, mailer: Mailer, clock: Clock, state: str
) -> None:
    lease, outcome = await mailer.claim(), Completed({})
    await end_as(state, client, reader, mailer, lease)
    ended: Outcome = Failed("550 no", None) if state == "failed" else outcome
    await mailer.claimer.sync({lease: ended})
    assert (await mailer.status).value == state
    await Readers(client).change(reader.reader_id, {"status": "active", "email": "new@example.org"})
    await clock.set("2026-11-27T09:00:00Z")
    assert (await mailer.deliveries.resolve(mailer.delivery_id, PENDING, by="ada")).status is PENDING
    again = await mailer.claim()
    decision = await mailer.begin(again, sender_id="another")
    assert isinstance(decision, Send)
    assert (decision.mail.email, decision.begun_before) == ("new@example.org", False)
    assert await mailer.end(again, SENT)


async def end_as(state: str, client: AsyncClient, reader: Reader, mailer: Mailer, lease: Any) -> None:
    """End the first attempt in this state."""
    if state == "skipped":
        await Readers(client).change(reader.reader_id, {"status": "paused"})
        assert isinstance(await mailer.begin(lease), SkipDelivery)
        return
    assert isinstance(await mailer.begin(lease), Send)
    assert await mailer.end(lease, FAILED if state == "failed" else IN_DOUBT, reason="550 no")
