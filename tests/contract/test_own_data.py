"""A reader's own data: the links that are mailed on request, and the download."""

import asyncio
import json
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.deliveries import SkipDelivery
from app.persistence.own_data import SECTIONS, LinkKind, OwnData
from app.persistence.readers import Reader, Readers, ReaderStatus
from tests.support.imports import fill_papers
from tests.support.mailer import Mailer
from tests.support.own_data import (
    EMAIL,
    INTEREST,
    furnish,
    link_of,
    unusual_reader,
)
from tests.support.schedule import Clock, add_reader


@pytest.fixture
async def reader(client: AsyncClient, clock: Clock) -> Reader:
    return await unusual_reader(client, clock)


KINDS: tuple[LinkKind, ...] = ("download_link", "delete_link")


async def test_the_download_has_every_table_of_the_reader(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, reader: Reader
) -> None:
    await furnish(client, database, clock, reader)
    tables = await database.fetch(
        "select table_name from information_schema.columns"
        " join information_schema.tables using (table_schema, table_name)"
        " where table_schema = 'public' and table_type = 'BASE TABLE' and column_name = 'reader_id' order by 1"
    )
    within = {
        "readers": "reader", "readers_private": "reader", "confirmations": "reader",
        "reader_papers": "papers", "reader_paper_keys": "papers", "archived_items": "digests",
    }  # fmt: skip
    sections = {within.get(name, name) for (name,) in tables}
    assert sections == set(SECTIONS)
    for section in SECTIONS:
        assert await OwnData(client).rows(reader.reader_id, section), section


async def test_a_download_contains_the_readers_rows_and_no_secrets(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, reader: Reader
) -> None:
    await furnish(client, database, clock, reader)
    tokens = await database.fetch("select lease_token::text as t from public.queue where lease_token is not null")
    own_data = OwnData(client)
    found = {section: await own_data.rows(reader.reader_id, section) for section in SECTIONS}
    assert (found["reader"][0]["email"], found["papers"][0]["keys"]) == (EMAIL, ["arxiv:1"])
    assert [row["title"] for row in found["digests"][0]["archived_items"]] == [INTEREST]
    assert {row["kind"] for row in found["tasks"]} == {"digest", "delivery", "import", "callback"}
    text = json.dumps(found)
    for secret in ("s3cret", "lease_token", "claimed_by", "sender_id", *(row["t"] for row in tokens)):
        assert secret not in text


async def test_a_download_reads_all_pages_of_each_section(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    await fill_papers(database, reader.reader_id, 1100)
    await database.execute(
        "insert into public.shown_items (reader_id, key) select $1, 'title:' || n from generate_series(1, 1100) n",
        reader.reader_id,
    )
    for section, name in (("papers", "paper_id"), ("shown_items", "key")):
        rows = [row[name] async for page in OwnData(client).pages(reader.reader_id, section) for row in page]
        assert (len(rows), len(set(rows))) == (1100, 1100)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_link_is_valid_for_15_minutes(
    kind: LinkKind, client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    own_data, link_id = OwnData(client), await link_of(client, reader, kind)
    (other_kind,) = {*KINDS} - {kind}
    for minutes, valid in ((14, True), (15, False)):
        await database.execute("update public.deliveries set created_at = now() - $1 * interval '1 minute'", minutes)
        assert await own_data.link_is_valid(link_id, reader.reader_id, kind) is valid
        assert not await own_data.link_is_valid(link_id, reader.reader_id, other_kind)
        assert not await own_data.link_is_valid(link_id, uuid4(), kind)
    assert await own_data.begin_erasure(link_id, reader.reader_id) == "expired"
    assert (await Readers(client).get(reader.reader_id)).status is ReaderStatus.ACTIVE


async def test_only_a_delete_link_deletes(client: AsyncClient, reader: Reader) -> None:
    link_id = await link_of(client, reader, "download_link")
    assert await OwnData(client).begin_erasure(link_id, reader.reader_id) == "expired"


async def test_a_reader_requests_five_links_a_day(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    own_data = OwnData(client)
    outcomes = await asyncio.gather(
        *(own_data.request_link(uuid4(), reader.reader_id, KINDS[n % 2]) for n in range(12))
    )
    assert sorted(outcomes) == ["requested"] * 5 + ["too_many"] * 7
    known = await database.fetchval("select delivery_id from public.deliveries limit 1")
    assert await own_data.request_link(known, reader.reader_id, "delete_link") == "requested"
    await database.execute("update public.deliveries set created_at = now() - interval '1 day'")
    await link_of(client, reader)


async def test_without_an_email_no_link_is_sent(client: AsyncClient, database: asyncpg.Connection) -> None:
    reader = await add_reader(client, email=None)
    assert await OwnData(client).request_link(uuid4(), reader.reader_id, "delete_link") == "no_email"
    assert await database.fetchval("select count(*) from public.deliveries") == 0


@pytest.mark.parametrize("status", ["paused", "unsubscribed", "bounced"])
async def test_a_stopped_reader_still_gets_a_requested_link(client: AsyncClient, reader: Reader, status: str) -> None:
    await Readers(client).change(reader.reader_id, {"status": status})
    await link_of(client, reader)
    mailer = Mailer(client)
    assert (await mailer.begin(await mailer.claim())).mail.kind == "delete_link"


async def test_a_link_that_waited_too_long_is_not_sent(
    client: AsyncClient, database: asyncpg.Connection, reader: Reader
) -> None:
    await link_of(client, reader)
    await database.execute("update public.deliveries set created_at = now() - interval '15 minutes'")
    mailer = Mailer(client)
    decision = await mailer.begin(await mailer.claim())
    assert isinstance(decision, SkipDelivery)
    assert decision.reason == "too late: its link is no longer valid"
