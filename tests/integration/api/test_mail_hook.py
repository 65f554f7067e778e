"""The mail provider's webhook, over HTTP and on a real database: only signed events stop mails."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.config import ApiSettings
from app.mail.bounces import MAX_BODY
from app.persistence.readers import Reader, Readers, ReaderStatus
from embedded.stack import Ready
from tests.support.mail_hook import OTHER_SECRET, SECRET, event, signed
from tests.support.running_api import KEY, RunningApi
from tests.support.visitors import readers_of


@pytest.fixture
def settings(stack: Ready, database_reset: None, request: pytest.FixtureRequest) -> ApiSettings:  # noqa: ARG001  (run first)
    secret = getattr(request, "param", SECRET)
    values = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": KEY}
    return ApiSettings.model_validate(values | {"resend_webhook_secret": secret})


@pytest.fixture
async def http(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=30) as http:
        yield http


@pytest.fixture
async def reader(client: AsyncClient) -> Reader:
    fields = {
        "reader_id": str(uuid4()),
        "name": "Ada",
        "email": "Ada@Example.org",
        "timezone": "UTC",
        "send_at": "07:00",
    }
    return await Readers(client).create("ada", fields)


async def send(http: httpx.AsyncClient, payload: object, secret: str = SECRET) -> int:
    body, headers = signed(payload, secret=secret)
    return (await http.post("/hooks/mail", content=body, headers=headers)).status_code


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("email.bounced", ReaderStatus.BOUNCED, "bounced: Permanent, General, The address has no mailbox."),
        ("email.complained", ReaderStatus.UNSUBSCRIBED, "the reader marked a mail as spam"),
        ("email.suppressed", ReaderStatus.BOUNCED, "suppressed by the provider: no reason given"),
    ],
)
async def test_a_signed_bounce_stops_mails_with_the_reason(
    http: httpx.AsyncClient, client: AsyncClient, reader: Reader, kind: str, status: ReaderStatus, reason: str
) -> None:
    for _ in range(2):
        assert await send(http, event(kind, to=["nobody@example.org", "ada@example.org"])) == 204
        now = await Readers(client).get(reader.reader_id)
        assert (now.status, now.status_reason, now.next_due_at) == (status, reason, None)


@pytest.mark.parametrize(
    ("kept", "written"),
    [
        ("Ada@Example.org", '"Lovelace, Ada" <ada@example.org>'),
        ("ada@xn--bro-hoa.example.org", "Ada <ada@büro.example.org>"),
    ],
)
async def test_an_address_matches_in_any_case(
    http: httpx.AsyncClient, client: AsyncClient, reader: Reader, kept: str, written: str
) -> None:
    await Readers(client).change(reader.reader_id, {"email": kept})
    assert await send(http, event(to=[written])) == 204
    assert (await Readers(client).get(reader.reader_id)).status is ReaderStatus.BOUNCED


async def test_a_bounce_does_not_change_an_unsubscribed_reader(
    http: httpx.AsyncClient, client: AsyncClient, reader: Reader
) -> None:
    readers = Readers(client)
    left = await readers.change(reader.reader_id, {"status": "unsubscribed", "status_reason": "own request"})
    for kind in ("email.bounced", "email.complained"):
        assert await send(http, event(kind)) == 204
        assert await readers.get(reader.reader_id) == left


@pytest.mark.parametrize(
    "payload",
    [
        event(bounce={"type": "Transient", "subType": "MailboxFull"}),
        event("email.delivered"),
        event(to=[]),
        event(to=["other@example.org"]),
        event(
            to=["%@example.org", "ada@example.org' or ''='", "@", "ada@", "Eve <eve@example.org>", "_da@example.org"]
        ),
        [],
        None,
        {"type": ["email.bounced"], "data": {}},
    ],
    ids=lambda payload: str(payload)[:40],
)
async def test_a_temporary_bounce_changes_nothing(
    http: httpx.AsyncClient, database: asyncpg.Connection, reader: Reader, payload: Any
) -> None:
    assert reader.status is ReaderStatus.ACTIVE
    before = await readers_of(database)
    assert await send(http, payload) == 204
    assert await readers_of(database) == before


async def test_an_unsigned_event_is_refused(
    http: httpx.AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    assert reader.status is ReaderStatus.ACTIVE
    before = await readers_of(database)
    assert await send(http, event(), OTHER_SECRET) == 401
    body, headers = signed(event())
    assert (await http.post("/hooks/mail", content=body)).status_code == 401
    assert (await http.post("/hooks/mail", content=body + b" ", headers=headers)).status_code == 401
    assert (await http.post("/hooks/mail", content=b"x" * (MAX_BODY + 1), headers=headers)).status_code == 413
    assert (await http.get("/hooks/mail")).status_code == 405
    assert await readers_of(database) == before


@pytest.mark.parametrize("settings", [""], indirect=True)
async def test_without_a_secret_every_event_is_refused(http: httpx.AsyncClient) -> None:
    assert await send(http, event()) == 401
