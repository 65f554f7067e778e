"""A flood of sign-ups at several API processes, while workers are killed: no more mails than the limits allow."""

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack, suppress

import asyncpg
import httpx

from embedded.stack import Ready
from tests.support.processes import ServiceProcess, api_process, worker_process
from tests.support.reader_mails import ALL_DONE, mails
from tests.support.running_worker import until
from tests.support.smtp_server import Postbox

POSTS = int(os.environ.get("SIGN_UPS", "400"))
"""`SIGN_UPS=10000` with `--timeout=1800` is the whole attack; it takes some minutes."""
CONNECTIONS = 24
PER_HOUR, PER_NETWORK = 40, 3
LINKS = {"PUBLIC_URL": "http://digest.example", "LINK_SECRET": "0123456789abcdef", "PUBLIC_SIGN_UP": "true"}
LIMITS = {
    "SIGN_UPS_PER_HOUR": str(PER_HOUR),
    "SIGN_UPS_PER_NETWORK": str(PER_NETWORK),
    "CLIENT_ADDRESS_HEADER": "Fly-Client-IP",
}


async def status_of(http: httpx.AsyncClient, form: dict[str, str], headers: dict[str, str]) -> int:
    """Send a form, and again if its connection was closed: a server closes idle ones, perhaps just now."""
    for _ in range(5):
        with suppress(httpx.TransportError):
            return (await http.post("/subscribe", data=form, headers=headers)).status_code
    raise AssertionError("the API does not respond")


async def flood(addresses: list[str]) -> Counter[int]:
    """Send the posts, for 30 mailboxes with several spellings, from 200 networks; returns the statuses."""
    chance, statuses, left = random.Random(7), Counter[int](), iter(range(POSTS))

    async def post(http: httpx.AsyncClient) -> None:
        for number in left:
            mailbox = chance.choice(("b{}@example.org", "B{}@Example.org", "b{}+x@example.org")).format(number % 30)
            form = {"email": mailbox, "interests": "ice", "timezone": "UTC", "send_at": "07:00"}
            headers = {"Fly-Client-IP": f"10.0.{chance.randrange(200)}.{number % 250}"}
            statuses[await status_of(http, form | {"form_id": str(number)}, headers)] += 1

    async with AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(httpx.AsyncClient(base_url=address, trust_env=False, timeout=60))
            for address in addresses
        ]
        await asyncio.gather(*(post(clients[n % len(clients)]) for n in range(CONNECTIONS)))
    return statuses


async def test_a_flood_of_sign_ups_stays_within_the_limits(stack: Ready, database: asyncpg.Connection) -> None:
    async with AsyncExitStack() as opened:
        box = await opened.enter_async_context(Postbox().serve())
        mail = {"MAIL_URL": f"smtp://127.0.0.1:{box.port}", "MAIL_FROM": "digest@example.org", "DAILY_FETCH_AT": "off"}

        async def started(process: ServiceProcess, ready: str) -> str:
            event = str((await process.start(ready))["event"])
            opened.push_async_callback(process.stop, signal.SIGKILL)
            return event

        apis = [await started(api_process(stack, **LINKS, **LIMITS), "API running on") for _ in range(2)]
        lost, worker = [worker_process(stack, **LINKS, **mail) for _ in range(2)]
        await started(lost, "worker started")
        flooding = asyncio.create_task(flood([api.split()[-1] for api in apis]))
        await until(database, "select exists (select from public.deliveries where begun_at is not null)")
        await lost.stop(signal.SIGKILL)
        await started(worker, "worker started")
        statuses = await flooding
        await until(database, ALL_DONE)
    assert statuses == {202: PER_HOUR, 429: POSTS - PER_HOUR}
    recipients = Counter(str(mail["To"]).lower().replace("+x", "") for mail in mails(box))
    assert len(recipients) > 0
    assert set(recipients.values()) == {1}
    ended = dict(await database.fetch("select status, count(*) from public.deliveries group by status"))
    assert ended["sent"] + ended.get("in_doubt", 0) >= len(recipients)
    assert sum(ended.values()) == PER_HOUR
    assert await database.fetchval("select count(*) from public.readers where status <> 'unconfirmed'") == 0
