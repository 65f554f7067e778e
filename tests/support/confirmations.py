"""Readers that must confirm their address, and the steps until they have."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from supabase import AsyncClient

from app.persistence.confirmations import Confirmations, ConfirmOutcome
from app.persistence.readers import Reader, Readers
from app.persistence.sign_ups import SignUpLimits, SignUps
from tests.support.mailer import SENT, Mailer
from tests.support.schedule import add_reader

NETWORK = "192.0.2.0/24"
MANY = SignUpLimits(per_hour=1_000, per_network=1_000)


def today() -> date:
    return datetime.now(UTC).date()


async def unconfirmed(client: AsyncClient, **columns: Any) -> Reader:
    return await add_reader(client, **({"email": "ada@example.org", "confirm": True} | columns))


async def signed_up(client: AsyncClient, email: str, network: str = NETWORK, limits: SignUpLimits = MANY) -> Reader:
    """A reader of the sign-up page."""
    reader_id = uuid4()
    await sign_up(client, email, network, limits, reader_id=reader_id)
    return await Readers(client).get(reader_id)


async def sign_up(
    client: AsyncClient,
    email: str,
    network: str = NETWORK,
    limits: SignUpLimits = MANY,
    *,
    reader_id: UUID | None = None,
    sign_up_id: UUID | None = None,
) -> None:
    profile = {"interests": ["looms"]}
    schedule = {"timezone": "Europe/Berlin", "send_at": "07:00"}
    row = {"reader_id": str(reader_id or uuid4()), "name": "ada", "email": email, "profile": profile, **schedule}
    await SignUps(client).accept(sign_up_id or uuid4(), "default", row, network, limits)


async def confirm(
    client: AsyncClient, reader: Reader, *, generation: int = 1, day: date | None = None
) -> ConfirmOutcome:
    return await Confirmations(client).confirm(reader.reader_id, generation, day or today())


async def send_next(client: AsyncClient) -> Any:
    """Claim a delivery and begin to send it; what may be sent is sent. Returns the decision."""
    mailer = Mailer(client)
    lease = await mailer.claim()
    decision = await mailer.begin(lease)
    if decision.verdict == "send":
        assert await mailer.end(lease, SENT)
    return decision


async def a_day_passes(database: asyncpg.Connection, days: int = 1) -> None:
    """Let this many days pass for everything that limits confirmation mails and sign-ups, and for their expiry."""
    age = f"interval '{days} days'"
    await database.execute(
        f"update public.confirmation_mails set last_at = last_at - {age}, first_at = first_at - {age};"
        f"update public.confirmations set requested_at = requested_at - {age};"
        f"update public.sign_ups set requested_at = requested_at - {age}"
    )
