"""Claims of connected libraries: one worker syncs a library, and a claim that has ended writes nothing."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from supabase import AsyncClient

from app.persistence.library_syncs import ClaimEnded, LibrarySyncs, read_row
from app.persistence.reader_libraries import LibraryProblem, ReaderLibraries
from app.persistence.reader_papers import PaperInput
from app.persistence.readers import Readers
from tests.support.confirmations import confirm, unconfirmed
from tests.support.fake_zotero import GROUP, KEY, USER
from tests.support.schedule import add_reader
from tests.support.tasks import somebody_waits

ROW = read_row("AAAAAAAA", 1, PaperInput(keys=("doi:1",), doi="1", title="T"))
NOW = "update public.reader_libraries set next_sync_at = now() where true"


async def connect(client: AsyncClient) -> UUID:
    reader_id = (await add_reader(client)).reader_id
    await ReaderLibraries(client).connect(reader_id, USER, [], SecretStr(KEY))
    return reader_id


@pytest.mark.usefixtures("database")
async def test_a_claimed_library_is_claimed_by_nobody_else(client: AsyncClient) -> None:
    readers = {await connect(client) for _ in range(3)}
    syncs = LibrarySyncs(client)
    found = await asyncio.gather(*(syncs.claim(uuid4()) for _ in range(8)))
    assert sorted(each.reader_id for each in found if each) == sorted(readers)


async def test_a_library_of_a_lost_worker_is_claimed_again(client: AsyncClient, database: asyncpg.Connection) -> None:
    await connect(client)
    lost, next_one, syncs = uuid4(), uuid4(), LibrarySyncs(client)
    await syncs.claim(lost)
    await database.execute("update public.reader_libraries set claimed_until = now()")
    assert await syncs.claim(next_one) is not None
    steps = (
        syncs.hold(lost),
        syncs.versions(lost),
        syncs.record(lost, [ROW]),
        syncs.remove(lost, ["AAAAAAAA"]),
        syncs.complete(lost, 9, again=timedelta(0)),
    )
    for step in steps:
        with pytest.raises(ClaimEnded):
            await step
    await syncs.record(next_one, [ROW])
    assert await database.fetchval("select version is null from public.reader_libraries")


async def test_a_failed_sync_keeps_the_version_of_the_last_one(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await connect(client)
    syncs, first, second = LibrarySyncs(client), uuid4(), uuid4()
    await syncs.claim(first)
    await syncs.complete(first, 9, again=timedelta(0))
    await syncs.claim(second)
    await syncs.fail(second, LibraryProblem.INCOMPLETE, "no answer", again=timedelta(0))
    assert await database.fetchval("select version from public.reader_libraries") == 9


async def test_a_step_waits_for_an_uncommitted_connection(client: AsyncClient, database: asyncpg.Connection) -> None:
    reader_id, token, syncs = await connect(client), uuid4(), LibrarySyncs(client)
    await syncs.claim(token)
    async with database.transaction():
        await database.execute("select public.connect_library($1, $2, '{}', $3)", reader_id, GROUP, KEY)
        recording = asyncio.create_task(syncs.record(token, [ROW]))
        await somebody_waits(database)
    with pytest.raises(ClaimEnded):
        await recording
    assert not await database.fetchval("select exists (select from public.reader_papers)")


@pytest.mark.parametrize("status", ["unsubscribed", "bounced"])
async def test_libraries_of_readers_who_left_cost_no_claim(
    status: str, client: AsyncClient, database: asyncpg.Connection
) -> None:
    gone = await connect(client)
    await database.execute("update public.readers set status = $1 where true", status)
    await database.execute(NOW)
    assert await LibrarySyncs(client).claim(uuid4()) is None
    tomorrow = "select next_sync_at > now() + interval '23 hours' from public.reader_libraries where reader_id = $1"
    assert await database.fetchval(tomorrow, gone), "it is not looked at again before tomorrow"
    await database.execute("update public.readers set status = 'paused' where true")
    await database.execute(NOW)
    assert await LibrarySyncs(client).claim(uuid4()) is not None


async def test_removing_a_paper_and_its_entry_do_not_deadlock(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await connect(client)
    token, syncs = uuid4(), LibrarySyncs(client)
    await syncs.claim(token)
    await syncs.record(token, [ROW])
    async with database.transaction():
        await database.execute("select from public.reader_papers for update")
        removing = asyncio.create_task(syncs.remove(token, ["AAAAAAAA"]))
        await somebody_waits(database)
        # The other call holds no entry while it waits for the paper.
        await database.execute("delete from public.reader_papers")
    await removing
    assert not await database.fetchval("select exists (select from public.library_entries)")


@pytest.mark.parametrize("status", ["unsubscribed", "bounced"])
async def test_a_reader_who_returns_gets_the_library_synced(status: str, client: AsyncClient) -> None:
    reader_id, readers, syncs = await connect(client), Readers(client), LibrarySyncs(client)
    await readers.change(reader_id, {"status": status})
    assert await syncs.claim(uuid4()) is None
    await readers.change(reader_id, {"status": "active"})
    claimed = await syncs.claim(uuid4())
    assert claimed is not None
    assert claimed.reader_id == reader_id


async def test_a_confirmed_reader_gets_the_library_synced(client: AsyncClient) -> None:
    reader, syncs = await unconfirmed(client), LibrarySyncs(client)
    await ReaderLibraries(client).connect(reader.reader_id, USER, [], SecretStr(KEY))
    assert await syncs.claim(uuid4()) is None
    assert await confirm(client, reader) == "confirmed"
    assert await syncs.claim(uuid4()) is not None, "the first digest follows the library"


async def test_a_return_does_not_try_a_refused_key_again(client: AsyncClient) -> None:
    reader_id, readers, syncs = await connect(client), Readers(client), LibrarySyncs(client)
    token = uuid4()
    await syncs.claim(token)
    await syncs.fail(token, LibraryProblem.KEY_REFUSED, "refused", again=timedelta(days=1))
    await readers.change(reader_id, {"status": "unsubscribed"})
    await readers.change(reader_id, {"status": "active"})
    assert await syncs.claim(uuid4()) is None


async def test_a_refused_key_is_not_tried_again_without_a_new_one(client: AsyncClient) -> None:
    reader_id, libraries, syncs = await connect(client), ReaderLibraries(client), LibrarySyncs(client)
    token = uuid4()
    await syncs.claim(token)
    await syncs.fail(token, LibraryProblem.KEY_REFUSED, "refused", again=timedelta(days=1))
    for patterns in ([], ["Thesis"]):
        assert not await libraries.connect(reader_id, USER, patterns, None)
    library = await libraries.get(reader_id)
    assert library is not None
    assert (library.collections, library.problem_kind) == ((), LibraryProblem.KEY_REFUSED)
    assert await syncs.claim(uuid4()) is None
    assert await libraries.connect(reader_id, USER, ["Thesis"], SecretStr(KEY))
    assert await syncs.claim(uuid4()) is not None
