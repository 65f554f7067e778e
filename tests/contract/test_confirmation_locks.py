"""Sign-ups, confirmations and the removal of unconfirmed readers, beside everything that changes the same rows."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.confirmations import Confirmations
from app.persistence.maintenance import Maintenance
from app.persistence.readers import Reader, Readers
from tests.contract.deadlocks import deadlocks
from tests.contract.writers import Writing, bounces, mails, removes, resumes
from tests.support.confirmations import a_day_passes, confirm, sign_up, signed_up, today
from tests.support.database_reset import database_reset
from tests.support.schedule import OWNER
from tests.support.tasks import somebody_waits

ADDRESSES: Final = [f"{name}@example.org" for name in ("all", "ada", "bob", "cy")]
ROUNDS: Final = 4


async def signs_up(writing: Writing) -> None:
    for address in writing.shuffled(*ADDRESSES):
        await sign_up(writing.client, address)


async def confirms(writing: Writing) -> None:
    for reader in writing.shuffled(*await Readers(writing.client).page(OWNER))[:6]:
        await confirm(writing.client, reader)


async def imports_unconfirmed(writing: Writing) -> None:
    """Create readers, and change the address of existing ones, in another order each time."""
    rows = [
        {"reader_id": str(uuid4()), "external_id": f"reader-{n}", "name": "A", "confirm": True, "email": address}
        for n, address in enumerate(writing.shuffled(*ADDRESSES))
    ]
    await Readers(writing.client).import_readers(OWNER, writing.shuffled(*rows))


async def prunes(writing: Writing) -> None:
    await Maintenance(writing.client, batch=5).prune_sign_ups()


WRITERS: Final[tuple[Callable[[Writing], Awaitable[None]], ...]] = (
    *(signs_up, confirms, imports_unconfirmed, prunes),
    *(mails, bounces, removes, resumes),
)


async def test_confirmations_never_deadlock(client: AsyncClient, database: asyncpg.Connection) -> None:
    before = await deadlocks(database)
    for seed in range(ROUNDS):
        await database_reset(database)
        furnishing = Writing(client, random.Random(seed))
        for write in (signs_up, imports_unconfirmed, signs_up):
            await write(furnishing)
        await a_day_passes(database, 8)
        chances = [random.Random(f"{seed} {n}") for n in range(2)]
        await asyncio.gather(*(write(Writing(client, chance)) for write in WRITERS for chance in chances))
    assert await deadlocks(database) == before


async def test_a_sign_up_waits_for_an_uncommitted_one(client: AsyncClient, database: asyncpg.Connection) -> None:
    async with database.transaction():
        await database.execute("select pg_advisory_xact_lock(hashtextextended('sign-ups', 0))")
        waiting = asyncio.create_task(sign_up(client, "ada@example.org"))
        await somebody_waits(database)
        assert not waiting.done()
    await waiting


async def test_a_confirmation_waits_for_another_of_the_address(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    first, second = await signed_up(client, "ada@example.org"), await signed_up(client, "ADA@example.org")
    async with database.transaction():
        outcome = await database.fetchval("select public.confirm_reader($1, 1, $2)", first.reader_id, today())
        assert outcome == "confirmed"
        waiting = asyncio.create_task(confirm(client, second))
        await somebody_waits(database)
        assert not waiting.done()
    assert await waiting == "known"


PAUSE: Final = """
alter function public.never_confirmed rename to found_unconfirmed;
create function public.never_confirmed(p_among uuid[], p_limit integer) returns uuid[] language plpgsql as $$
declare
    found uuid[] := public.found_unconfirmed(p_among, p_limit);
begin
    perform pg_advisory_xact_lock(1);
    return found;
end
$$
"""
"""Makes a removal wait after it has chosen its readers and before it locks them."""
CONTINUE: Final = """
drop function public.never_confirmed;
alter function public.found_unconfirmed rename to never_confirmed
"""


async def resend(client: AsyncClient, reader: Reader) -> None:
    await Confirmations(client).resend(reader.reader_id)


@pytest.mark.parametrize("act", [confirm, resend])
async def test_a_reader_who_acts_during_a_removal_is_kept(
    act: Callable[[AsyncClient, Reader], Awaitable[object]], client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader = await signed_up(client, "ada@example.org")
    await a_day_passes(database, 8)
    await database.execute(PAUSE)
    try:
        async with database.transaction():
            await database.execute("select pg_advisory_xact_lock(1)")
            removing = asyncio.create_task(Maintenance(client).prune_sign_ups())
            await somebody_waits(database)
            await act(client, reader)
        assert (await removing).readers == 0
    finally:
        await database.execute(CONTINUE)
    assert (await Readers(client).get(reader.reader_id)).reader_id == reader.reader_id
