"""A reader whose every word can be found again, with a row in each table, and the deletion of their data."""

import hashlib
import json
from collections.abc import Sequence
from uuid import UUID, uuid4

import asyncpg
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.operator import Actor, Operator
from app.persistence.outcomes import Completed
from app.persistence.own_data import LinkKind, OwnData
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.persistence.readers import Reader
from app.persistence.schedule import Schedule
from tests.support.feedback import rate
from tests.support.imports import uploaded
from tests.support.mailer import IN_DOUBT, SENT, Mailer
from tests.support.schedule import Clock, add_reader
from tests.support.tasks import Claimer

NAME, EMAIL, INTEREST, KEY = "Zaphod Unusual", "Zaphod@Unusual.example", "improbability drives", "zaphod-key"
TABLES = "select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'"
ACTION = UUID(int=77)
"""The audit entry of an operator who cancelled a task of the reader."""
DIGEST = {
    "profile": {"name": NAME},
    "papers": [{"article": {"title": INTEREST}}],
    "news": [],
    "keys": ["title:improbability"],
}


async def unusual_reader(client: AsyncClient, clock: Clock) -> Reader:
    await clock.set("2026-11-24T06:00:00Z")
    return await add_reader(client, name=NAME, email=EMAIL, external_id=KEY, profile={"interests": [INTEREST]})


async def link_of(client: AsyncClient, reader: Reader, kind: LinkKind = "delete_link") -> UUID:
    link_id = uuid4()
    assert await OwnData(client).request_link(link_id, reader.reader_id, kind) == "requested"
    return link_id


async def begin_erasure(client: AsyncClient, reader: Reader) -> None:
    assert await OwnData(client).begin_erasure(await link_of(client, reader), reader.reader_id) == "begun"


async def erase(client: AsyncClient, reader: Reader) -> None:
    await begin_erasure(client, reader)
    while await OwnData(client).erase(reader.reader_id) != "erased":
        pass


async def furnish(client: AsyncClient, database: asyncpg.Connection, clock: Clock, reader: Reader) -> list[str]:
    """Give the reader a row in every table that can have one; returns texts that identify the reader."""
    reader_id = reader.reader_id
    await rate(ReaderPapers(client), reader_id, PaperInput(keys=("arxiv:1",), arxiv_id="1", title=INTEREST), True)
    await clock.set("2026-11-24T07:30:00Z")
    await Schedule(client).enqueue_due()
    digests = Claimer(client, kinds=[TaskKind.DIGEST])
    await digests.finish(await digests.claim_one(), Completed({}, DIGEST))
    mailer = Mailer(client)
    lease = await mailer.claim()
    assert (await mailer.begin(lease)).mail.email == EMAIL
    await mailer.end(lease, IN_DOUBT, reason=f"the server lost <{EMAIL}>")
    await Operator(client).cancel(Actor(ACTION, "root"), (await uploaded(client, reader_id, b"10.1/1")).task_id)
    await mailer.deliveries.resolve(mailer.delivery_id, SENT, by="root")
    await database.execute(
        "insert into public.audit (audit_id, created_at, actor, action, details, response)"
        " values (gen_random_uuid(), now(), 'root', 'replay', '{}', jsonb_build_object('error', '550 <' || $1 || '>'))",
        EMAIL.upper(),
    )
    await uploaded(client, reader_id, b"10.1/2")
    await database.execute(
        "update public.tasks set callback_url = 'https://x.example/s3cret' where kind = 'import' and status is null"
    )
    imports = Claimer(client, kinds=[TaskKind.IMPORT])
    await imports.finish(await imports.claim_one(), Completed({"reader": NAME}, None))
    await uploaded(client, reader_id, b"@misc{b, title={" + INTEREST.encode() + b"}}")
    await database.execute("update public.queue set error = $1 where kind = 'import'", f"{EMAIL} was wrong")
    await database.execute(
        "insert into public.reader_libraries (reader_id, library, collections, claim_token)"
        " values ($1, 'users/1', '{}', gen_random_uuid())",
        reader_id,
    )
    await database.execute(
        "insert into public.library_entries (reader_id, entry_key, version, rejection) values ($1, 'AAAA1111', 1, $2)",
        reader_id,
        f"{INTEREST} has no title",
    )
    await database.execute(
        "update public.readers_private set library_key = 's3cretKey', file_library = '{\"key_sha256\": \"s3cret\"}'"
    )
    await link_of(client, reader, "download_link")
    assert {kind for (kind,) in await database.fetch("select distinct kind from public.tasks")} == {
        *("digest", "delivery", "import", "callback")
    }
    address_hash = hashlib.sha256(EMAIL.lower().encode()).hexdigest()
    await database.execute(
        "insert into public.confirmation_mails values ($1, gen_random_uuid(), 1, now(), now())", address_hash
    )
    assert await database.fetchval("select public.address_hash($1)", EMAIL) == address_hash
    return [NAME, EMAIL, INTEREST, KEY, str(reader_id), address_hash]


async def mentions(database: asyncpg.Connection, texts: Sequence[str]) -> set[str]:
    """The tables with a row that has one of the texts, in any column; an uploaded file is text too."""
    found = set()
    for (table,) in await database.fetch(TABLES):
        for (row,) in await database.fetch(f"select to_jsonb(t) from public.{table} t"):
            content = json.dumps(json.loads(row), ensure_ascii=False)
            if table == "upload_pieces":
                content += bytes.fromhex(json.loads(row)["content"].removeprefix("\\x")).decode()
            if any(text.lower() in content.lower() for text in texts):
                found.add(table)
    return found
