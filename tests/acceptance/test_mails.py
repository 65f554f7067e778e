"""Real workers are killed while they send mails to a flaky server: no reader gets two mails a day."""

import asyncpg
from supabase import AsyncClient

from embedded.stack import Ready
from tests.acceptance.mail_storm import Storm, weather
from tests.support.flaky_server import QUICK


async def test_every_reader_has_one_mail_or_one_delivery_in_doubt(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    """The same with 2,000 readers, ten kills and a server that hangs: `make soak-mails`."""
    account = await weather(Storm(readers=40, kills=6, seed=7, weights=QUICK), stack, client, database)
    assert account.faults() == []
    assert {fate for fates in account.happened.values() for fate in fates} == set(QUICK)
    assert len(account.running_tasks) > 0
