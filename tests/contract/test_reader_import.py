"""Imported readers: each is validated separately and belongs to its owner only."""

from uuid import uuid4

from supabase import AsyncClient

from app.persistence.readers import Readers
from tests.support.schedule import add_reader

TIMES = ("07:00", "99:99", "08:00")


async def test_another_owner_cannot_change_or_remove_a_reader_by_id(client: AsyncClient) -> None:
    readers, reader = Readers(client), await add_reader(client)
    given = {"reader_id": str(reader.reader_id), "external_id": "another", "name": "Eve"}
    (put,) = await readers.import_readers("eve", [given])
    assert (put.outcome, put.reader_id) == ("refused", None)
    await readers.remove(reader.reader_id, "eve")
    assert await readers.get(reader.reader_id) == reader


async def test_an_invalid_reader_does_not_block_the_import_of_others(client: AsyncClient) -> None:
    given = [
        {"reader_id": str(uuid4()), "external_id": at, "name": "Ada", "timezone": "UTC", "send_at": at} for at in TIMES
    ]
    assert [put.outcome for put in await Readers(client).import_readers("ada", given)] == [
        "created",
        "refused",
        "created",
    ]
