"""Readers who deleted their data come back only if they are created explicitly, not by a file or an import."""

from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.api.readers_file import DEFAULTS
from app.persistence.readers import Reader, Readers
from app.persistence.readers_file import FileEntry, ReadersFile
from tests.support.own_data import EMAIL, KEY, erase, unusual_reader
from tests.support.schedule import OWNER, Clock, add_reader

COPY = {"name": "Zaphod", "email": EMAIL}
SAME = [
    (KEY, {"name": "Zaphod", "email": None}),
    ("another-key", COPY),
    ("another-key", COPY | {"email": EMAIL.lower()}),
]
"""Entries that name the person again: by the key, or by the address, in any case."""


@pytest.fixture
async def erased(client: AsyncClient, clock: Clock) -> Reader:
    reader = await unusual_reader(client, clock)
    await erase(client, reader)
    return reader


async def apply(client: AsyncClient, key: str, values: dict[str, Any], owner: str = OWNER) -> str:
    entries = [FileEntry(key, {**DEFAULTS, **values})]
    (result,) = await ReadersFile(client).apply(owner, entries, DEFAULTS)
    return result.outcome


@pytest.mark.usefixtures("erased")
@pytest.mark.parametrize(("key", "values"), SAME)
async def test_a_file_does_not_create_them_again(
    client: AsyncClient, database: asyncpg.Connection, key: str, values: dict[str, Any]
) -> None:
    for _ in range(2):
        assert await apply(client, key, values) == "erased"
    assert await database.fetchval("select count(*) from public.readers") == 0


@pytest.mark.usefixtures("erased")
@pytest.mark.parametrize(("key", "values"), SAME)
async def test_an_import_does_not_create_them_again(client: AsyncClient, key: str, values: dict[str, Any]) -> None:
    row = {"reader_id": str(uuid4()), "external_id": key, **values}
    other = {"reader_id": str(uuid4()), "external_id": "bo", "name": "Bo"}
    results = await Readers(client).import_readers(OWNER, [row, other])
    assert [result.outcome for result in results] == ["erased", "created"]


@pytest.mark.usefixtures("erased")
async def test_a_file_gives_nobody_their_address(client: AsyncClient) -> None:
    assert await apply(client, "bo", {"name": "Bo", "email": "bo@example.org"}) == "created"
    assert await apply(client, "bo", {"name": "Bo", "email": EMAIL}) == "erased"
    (bo,) = await Readers(client).page(OWNER)
    assert bo.email == "bo@example.org"


@pytest.mark.usefixtures("erased")
async def test_other_people_and_other_owners_are_created(client: AsyncClient) -> None:
    assert await apply(client, "bo", {"name": "Bo", "email": "bo@example.org"}) == "created"
    assert await apply(client, KEY, COPY, owner="others") == "created"


@pytest.mark.usefixtures("erased")
async def test_they_are_created_again_explicitly_and_the_file_applies(client: AsyncClient) -> None:
    back = await add_reader(client, name="Zaphod", email=EMAIL, external_id=KEY)
    assert await apply(client, KEY, {"name": "Zaphod B.", "email": EMAIL}) == "changed"
    assert (await Readers(client).get(back.reader_id)).name == "Zaphod B."


async def test_a_reader_whom_an_admin_removes_is_created_again(client: AsyncClient, clock: Clock) -> None:
    reader = await unusual_reader(client, clock)
    await Readers(client).remove(reader.reader_id)
    assert await apply(client, KEY, COPY) == "created"


async def test_only_keyed_hashes_are_kept(client: AsyncClient, database: asyncpg.Connection, erased: Reader) -> None:
    marks = {row[0] for row in await database.fetch("select mark from public.erased_readers")}
    assert len(marks) == 2
    assert {column for (column,) in await database.fetch(
        "select column_name from information_schema.columns where table_name = 'erased_readers'"
    )} == {"mark"}  # fmt: skip
    plain = "select encode(sha256(convert_to($1, 'UTF8')), 'hex')"
    for text in (KEY, EMAIL, EMAIL.lower(), str(erased.reader_id), f'["{OWNER}", "key", "{KEY}"]'):
        assert await database.fetchval(plain, text) not in marks
    await database.execute("delete from public.erasure_keys")
    assert await apply(client, KEY, COPY) == "created", "another key gives other hashes"
