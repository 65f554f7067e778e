"""The scenarios of a reader's own data; `write_scenarios.py` has the others."""

from uuid import UUID

from supabase import AsyncClient

from app.errors import ReaderNotFound
from app.persistence.own_data import SECTIONS, OwnData
from app.persistence.readers import Readers
from tests.contract.scenarios import OTHER, TASK, scenario
from tests.support.schedule import OWNER, add_reader

READER = UUID("00000000-0000-4000-8000-0000000000bb")


@scenario("OwnData.request_link", "OwnData.link_is_valid", "OwnData.rows", "OwnData.to_erase")
async def requesting_links(client: AsyncClient, times: int) -> None:
    own_data = OwnData(client)
    await add_reader(client, reader_id=str(READER), external_id="ada", email="ada@example.org")
    for _ in range(times):
        assert await own_data.request_link(TASK, READER, "download_link") == "requested"
        assert await own_data.link_is_valid(TASK, READER, "download_link")
        assert not await own_data.link_is_valid(TASK, READER, "delete_link")
        counts = [len(await own_data.rows(READER, section)) for section in SECTIONS]
        assert counts == [1, 0, 0, 1, 1, *[0] * 5]
        assert await own_data.to_erase() == []


@scenario("OwnData.begin_erasure", "OwnData.erase")
async def deleting_everything(client: AsyncClient, times: int) -> None:
    own_data = OwnData(client)
    await add_reader(client, reader_id=str(READER), external_id="ada", email="ada@example.org")
    await add_reader(client, reader_id=str(OTHER), external_id="bob", email="bob@example.org")
    assert await own_data.request_link(TASK, READER, "delete_link") == "requested"
    for _ in range(times):
        assert await own_data.begin_erasure(TASK, OTHER) == "expired"
        assert await own_data.begin_erasure(TASK, READER) == "begun"
        assert await own_data.to_erase() == [READER]
    for _ in range(times):
        assert await own_data.erase(OTHER) == "erased"
        assert await own_data.erase(READER) == "erased"
        assert await own_data.begin_erasure(TASK, READER) == "erased"
    assert [reader.external_id for reader in await Readers(client).page(OWNER)] == ["bob"]
    try:
        await own_data.request_link(TASK, READER, "delete_link")
    except ReaderNotFound:
        return
    raise AssertionError("a link was requested for a reader who is gone")
