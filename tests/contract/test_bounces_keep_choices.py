"""A bounce that arrives after the reader's own decision does not replace it."""

import pytest
from supabase import AsyncClient

from app.persistence.readers import Reader, Readers
from tests.support.mailer import FAILED, Mailer


@pytest.mark.parametrize(
    ("chosen", "then"), [("active", "bounced"), ("unsubscribed", "unsubscribed"), ("paused", "paused")]
)
async def test_a_refused_recipient_keeps_the_readers_choice(
    client: AsyncClient, reader: Reader, mailer: Mailer, chosen: str, then: str
) -> None:
    lease = await mailer.claim()
    await mailer.begin(lease)
    if chosen != "active":
        await Readers(client).change(reader.reader_id, {"status": chosen}, None)
    assert await mailer.end(lease, FAILED, reason="550 5.1.1 no such user", bounce=True)
    assert (await Readers(client).get(reader.reader_id, None)).status.value == then
