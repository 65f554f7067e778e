"""A bounce that arrives after the reader's own decision does not replace it."""

from uuid import uuid4

import pytest
from supabase import AsyncClient

from app.persistence.deliveries import Deliveries
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


REPORTS = {
    False: {"active": "bounced", "unconfirmed": "bounced", "paused": "bounced", "bounced": "bounced"},
    True: dict.fromkeys(("active", "unconfirmed", "paused", "bounced"), "unsubscribed"),
}
"""The status after a report, by the status before it: a bounce, and a complaint. An unsubscribed reader stays so."""


@pytest.mark.parametrize("complaint", [False, True], ids=["bounce", "complaint"])
async def test_a_report_stops_readers_of_every_status(client: AsyncClient, complaint: bool) -> None:
    readers, expected = Readers(client), REPORTS[complaint] | {"unsubscribed": "unsubscribed"}
    created = {
        status: await readers.create(
            "ada",
            {"reader_id": str(uuid4()), "name": "A", "email": f"{status}@example.org", "status": status}
            | ({"confirm": True} if status == "unconfirmed" else {}),
        )
        for status in expected
    }
    addresses = [f"{status}@example.org" for status in expected]
    stopped = await Deliveries(client).record_bounce(addresses, "gone", complaint=complaint)
    assert stopped == sum(before != after for before, after in expected.items())
    after = {status: (await readers.get(each.reader_id)).status.value for status, each in created.items()}
    assert after == expected
