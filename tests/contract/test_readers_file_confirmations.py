"""Readers of a readers file that must confirm their address."""

from typing import Any

from supabase import AsyncClient

from app.api.readers_file import DEFAULTS
from app.persistence.deliveries import Deliveries
from app.persistence.readers import Reader, Readers, ReaderStatus
from app.persistence.readers_file import FileEntry, ReadersFile
from tests.support.confirmations import confirm, send_next


async def apply(client: AsyncClient, **values: Any) -> Reader:
    """Apply a file with one reader, and return the reader."""
    entry = FileEntry("ada", {**DEFAULTS, "name": "Ada", "email": "ada@example.org", "confirm": True, **values})
    await ReadersFile(client).apply("default", [entry], DEFAULTS)
    (reader,) = await Readers(client).page(None)
    return reader


async def mails(client: AsyncClient) -> int:
    return len((await Deliveries(client).page(None)).deliveries)


async def test_a_file_asks_a_new_reader_once_for_a_confirmation(client: AsyncClient) -> None:
    reader = await apply(client)
    assert reader.status is ReaderStatus.UNCONFIRMED
    assert await confirm(client, reader) == "confirmed"
    for name in ("Ada", "Countess"):
        assert (await apply(client, name=name)).status is ReaderStatus.ACTIVE
    assert await mails(client) == 1


async def test_a_new_address_in_the_file_must_be_confirmed(client: AsyncClient) -> None:
    reader = await apply(client)
    await send_next(client)
    await confirm(client, reader)
    assert (await apply(client, email="new@example.org")).status is ReaderStatus.UNCONFIRMED
    assert await mails(client) == 2


async def test_confirm_in_the_file_does_not_stop_active_readers(client: AsyncClient) -> None:
    assert (await apply(client, confirm=False)).status is ReaderStatus.ACTIVE
    assert (await apply(client)).status is ReaderStatus.ACTIVE
    assert await mails(client) == 0
