"""Readers are their owner's: nobody else changes or removes them, whatever ids are known."""

from supabase import AsyncClient

from app.persistence.readers import Readers
from tests.contract.schedule import add_reader


async def test_another_owner_neither_changes_nor_removes_a_reader_by_its_id(client: AsyncClient) -> None:
    readers, reader = Readers(client), await add_reader(client)
    given = {"reader_id": str(reader.reader_id), "external_id": "another", "name": "Eve"}
    (put,) = await readers.bring_in("eve", [given])
    assert (put.outcome, put.reader_id) == ("refused", None)
    await readers.remove(reader.reader_id, "eve")
    assert await readers.get(reader.reader_id) == reader
