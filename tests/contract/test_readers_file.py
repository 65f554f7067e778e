"""A readers file in the database: only what changed in the file is written, and never a status."""

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from app.api.readers_file import DEFAULTS
from app.persistence.reader_libraries import ReaderLibraries
from app.persistence.readers import Reader, Readers, ReaderStatus
from app.persistence.readers_file import FileEntry, ReadersFile
from tests.support.schedule import add_reader
from tests.support.tasks import somebody_waits


def entry(key: str = "ada", *, profile: Mapping[str, Any] | None = None, **values: Any) -> FileEntry:
    changed = DEFAULTS["profile"] | (profile or {})
    return FileEntry(
        key, {**DEFAULTS, "name": key.title(), "email": f"{key}@example.org", **values, "profile": changed}
    )


async def apply(client: AsyncClient, *entries: FileEntry) -> list[str]:
    results = await ReadersFile(client).apply("default", entries, DEFAULTS)
    return [result.outcome for result in results]


async def stored(client: AsyncClient, key: str = "ada") -> Reader:
    (reader,) = await Readers(client).page("default", external_id=key)
    return reader


async def test_a_file_creates_readers_and_changes_what_changed(client: AsyncClient) -> None:
    assert await apply(client, entry(), entry("bob")) == ["created", "created"]
    assert await apply(client, entry(), entry("bob")) == ["unchanged", "unchanged"]
    before = await stored(client)
    assert await apply(client, entry(profile={"interests": ["radar"]}), entry("bob")) == ["changed", "unchanged"]
    after = await stored(client)
    assert (after.reader_id, after.profile.interests) == (before.reader_id, ("radar",))


async def test_a_changed_address_creates_no_second_reader(client: AsyncClient) -> None:
    await apply(client, entry())
    assert await apply(client, entry(email="new@example.org")) == ["changed"]
    assert (await stored(client)).email == "new@example.org"
    assert len(await Readers(client).page("default")) == 1


async def test_what_readers_change_stays_until_the_file_changes_it(client: AsyncClient) -> None:
    await apply(client, entry(profile={"interests": ["radar"], "exclude": ["ice"]}))
    reader = await stored(client)
    own = {"interests": ["looms"], "exclude": ["sheep"]}
    await Readers(client).change(reader.reader_id, {"profile": own, "send_at": "09:15", "name": "Countess"})
    assert await apply(client, entry(profile={"interests": ["radar"], "exclude": ["ice"]})) == ["unchanged"]
    changed = entry(profile={"interests": ["radar"], "exclude": ["snow"]}, timezone="Europe/Berlin")
    assert await apply(client, changed) == ["changed"]
    after = await stored(client)
    assert (after.profile.interests, after.profile.exclude) == (("looms",), ("snow",))
    assert (after.name, str(after.send_at), after.timezone) == ("Countess", "09:15:00", "Europe/Berlin")


async def test_a_field_removed_from_the_file_gets_its_default(client: AsyncClient) -> None:
    await apply(client, entry(profile={"exclude": ["ice"]}, weekdays=[1]))
    assert await apply(client, entry()) == ["changed"]
    after = await stored(client)
    assert (after.profile.exclude, after.weekdays) == ((), (1, 2, 3, 4, 5, 6, 7))


async def test_a_reader_of_the_api_keeps_what_the_file_omits(client: AsyncClient) -> None:
    await add_reader(client, external_id="ada", profile={"interests": ["radar"], "authors": ["Bob"]}, weekdays=[3])
    assert await apply(client, entry(profile={"interests": ["looms"]})) == ["changed"]
    after = await stored(client)
    assert (after.profile.interests, after.profile.authors, after.weekdays) == (("looms",), ("Bob",), (3,))
    assert after.timezone == "Europe/Berlin"


@pytest.mark.parametrize("status", [ReaderStatus.PAUSED, ReaderStatus.UNSUBSCRIBED, ReaderStatus.BOUNCED])
async def test_a_file_never_writes_a_status(status: ReaderStatus, client: AsyncClient) -> None:
    await apply(client, entry())
    await Readers(client).change((await stored(client)).reader_id, {"status": status, "status_reason": "the reader"})
    await apply(client, entry(email="new@example.org"))
    assert await ReadersFile(client).missing("default", [], pause=True) == []
    after = await stored(client)
    assert (after.status, after.status_reason, after.email) == (status, "the reader", "new@example.org")


async def test_a_refused_reader_affects_no_other_and_is_retried(client: AsyncClient) -> None:
    assert await apply(client, entry(timezone="Mars/Olympus_Mons"), entry("bob")) == ["refused", "created"]
    assert await Readers(client).page("default", external_id="ada") == []
    assert await apply(client, entry(timezone="UTC"), entry("bob")) == ["created", "unchanged"]
    assert await apply(client, entry(timezone="Mars/Olympus_Mons")) == ["refused"]
    assert await apply(client, entry(timezone="Europe/Berlin")) == ["changed"]


async def test_a_file_concerns_only_the_readers_of_its_owner(client: AsyncClient) -> None:
    file = ReadersFile(client)
    for owner in ("default", "eve"):
        results = await file.apply(owner, [entry(), entry("bob")], DEFAULTS)
        assert [result.outcome for result in results] == ["created", "created"]
    assert await apply(client, entry(name="Countess")) == ["changed"]
    assert await file.missing("default", ["ada"], pause=True) == ["bob"]
    others = {reader.external_id: reader for reader in await Readers(client).page("eve")}
    assert (others["ada"].name, others["bob"].status) == ("Ada", ReaderStatus.ACTIVE)
    assert (await stored(client, "bob")).status is ReaderStatus.PAUSED


async def test_a_library_of_a_file_is_its_owners_readers(client: AsyncClient) -> None:
    for owner in ("default", "eve"):
        await ReadersFile(client).apply(owner, [entry()], DEFAULTS)
    (changed,) = await ReaderLibraries(client).changed_in_file("default", {"ada": {"library": "users/475425"}})
    assert changed.reader_id == (await stored(client)).reader_id


async def test_readers_that_left_the_file_are_paused_on_request(client: AsyncClient) -> None:
    await apply(client, entry(), entry("bob"))
    await add_reader(client, external_id="from_the_api")
    await add_reader(client, external_id="zoe", owner="other")
    assert await ReadersFile(client).missing("default", ["ada"], pause=False) == ["bob"]
    assert (await stored(client, "bob")).status is ReaderStatus.ACTIVE
    for _ in range(2):
        await ReadersFile(client).missing("default", ["ada"], pause=True)
    paused = await stored(client, "bob")
    assert (paused.status, paused.status_reason) == (ReaderStatus.PAUSED, "no longer in the readers file")
    for key in ("ada", "from_the_api"):
        assert (await stored(client, key)).status is ReaderStatus.ACTIVE


async def test_a_file_waits_for_a_readers_own_change(client: AsyncClient, database: asyncpg.Connection) -> None:
    await apply(client, entry())
    async with database.transaction():
        await database.execute("""update public.readers set profile = profile || '{"exclude": ["sheep"]}'""")
        applying = asyncio.create_task(apply(client, entry(profile={"interests": ["radar"]})))
        await somebody_waits(database)
    assert await applying == ["changed"]
    after = await stored(client)
    assert (after.profile.interests, after.profile.exclude) == (("radar",), ("sheep",))
