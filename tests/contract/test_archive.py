"""A reader's earlier digests: kept without their tasks, listed by day, indexed, removed with the reader."""

import json
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.articles import ArticleKind
from app.models.tasks import TaskKind
from app.persistence.digests import Digests, SearchHit
from app.persistence.maintenance import Maintenance
from app.persistence.outcomes import Completed
from app.persistence.readers import Readers
from tests.contract.query_plans import buffers, explained, indexes
from tests.support.schedule import Clock, add_reader, enqueued, write_digests, written
from tests.support.tasks import DAY, Claimer, create

WRITE = """
insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest)
values (gen_random_uuid(), 'default', $2, $1, $2, $3)
"""
OLDER = "update public.digests set created_at = created_at - interval '700 days' where local_day < '2026-11-26'"
# 18 items a day, each of 80 words out of a thousand; "narwhals" on one reader's first day, "graphs" on all days.
YEARS = """
insert into public.archived_items (task_id, kind, place, reader_id, local_day, title, url, words)
select d.task_id, 'paper', place, d.reader_id, d.local_day, 'On graphs', null,
       to_tsvector('english', 'graphs ' || case when d.rank = 1 and place = 0 then 'narwhals ' else '' end || (
           select string_agg('w' || (abs(hashint8(d.rank * 1009 + place * 31 + k)) % 1000), ' ')
             from generate_series(1, 80) k))
       || array_to_tsvector(array[public.reader_search_term(d.reader_id)])
  from (select task_id, reader_id, local_day, row_number() over (order by local_day, reader_id) as rank
          from public.digests) d
 cross join generate_series(0, 17) place
"""
EMPTY_DAYS = """
insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest)
select gen_random_uuid(), 'default', d, r, d, '{"papers": [], "news": []}'
  from unnest($1::uuid[]) r cross join generate_series('2026-11-24'::date - $2::int, '2026-11-23', '1 day') d
"""
HOSTILE = (
    *(
        "",
        " ",
        "\0",
        "the of and",
        '"',
        '""',
        '"unclosed phrase',
        "'; drop table readers; --",
        "-",
        "--- or or",
        "\\",
        "\ud800",
    ),
    *(
        "(((",
        "!",
        "a & | ! <-> b",
        ":*",
        "🦄",
        "🦄🦄 or 🦄",
        "\u202e\u0000x",
        "x" * 100_000,
        "a or " * 10_000,
        "-a " * 10_000,
    ),
    *("%_", "graphs:*", "reader:00000000-0000-4000-8000-00000000000a", "<b>", "\n\t\r", "ﬃ", "א", "1e999", "NaN"),
)


def item(title: str, *, authors: tuple[str, ...] = (), summary: str = "", url: str | None = None) -> dict[str, Any]:
    return {"article": {"title": title, "authors": authors, "url": url}, "summary": summary}


async def write(
    database: asyncpg.Connection,
    reader_id: UUID,
    day: date,
    papers: object = (),
    news: object = (),
) -> None:
    """Store a digest of a reader's day, as the end of its task does."""
    await database.execute(WRITE, reader_id, day, json.dumps({"papers": papers, "news": news}))


async def test_digests_outlive_their_tasks_but_not_their_reader(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> None:
    digests, maintenance = Digests(client), Maintenance(client)
    await clock.set("2026-11-25T06:00:00Z")
    ada, bob = [await add_reader(client, name=name) for name in ("ada", "bob")]
    for day in (25, 26, 27):
        await clock.set(f"2026-11-{day}T12:00:00Z")
        await enqueued(client, database)
        assert await write_digests(client, f"Graphs of day {day}") == 2
    ordered = await create(client, kind=TaskKind.DIGEST)
    worker = Claimer(client)
    await worker.finish(await worker.claim_one(), Completed({}, written("Ordered")))
    await database.execute(
        "update public.tasks set created_at = created_at - interval '99 days', finished_at = now() - interval '99 days'"
    )
    assert (await maintenance.retain(task_days=30, edition_days=30)).tasks == 7
    left = await database.fetch("select task_id, reader_id from public.digests")
    assert len(left) == 6, "three of each reader"
    assert ordered.task_id not in {row["task_id"] for row in left}, "a caller's digest is removed with its task"
    assert [day.local_day.day for day in await digests.list_days(ada.reader_id)] == [27, 26, 25]
    assert (await digests.for_day(ada.reader_id, date(2026, 11, 25))).digest == written("Graphs of day 25")

    await database.execute(OLDER)
    assert await maintenance.retain_digests(digest_days=701) == 0
    assert await maintenance.retain_digests(digest_days=699) == 2
    assert [day.local_day.day for day in await digests.list_days(ada.reader_id)] == [27, 26]

    await Readers(client).remove(ada.reader_id)
    assert await digests.list_days(ada.reader_id) == []
    for table in ("digests", "archived_items"):
        assert {row[0] for row in await database.fetch(f"select reader_id from public.{table}")} == {bob.reader_id}


async def test_days_are_listed_newest_first_with_their_counts(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader_id, digests = uuid4(), Digests(client)
    await write(database, reader_id, DAY, [item("First"), item("Second")], [item("News")])
    await write(database, reader_id, DAY + timedelta(days=1), [], [item("Only news")])
    await write(database, reader_id, DAY + timedelta(days=2))
    await write(database, reader_id, DAY + timedelta(days=3), "no list", {"no": "list"})
    await write(database, uuid4(), DAY + timedelta(days=4), [item("Another's")])
    days = await digests.list_days(reader_id)
    assert [(day.local_day - DAY).days for day in days] == [3, 2, 1, 0]
    assert [(day.papers, day.news, day.first_title) for day in days] == [
        *((0, 0, None), (0, 0, None), (0, 1, "Only news"), (2, 1, "First"))
    ]
    assert await digests.list_days(reader_id, limit=1) == days[:1]
    assert await digests.list_days(reader_id, before=days[0].local_day, limit=2) == days[1:3]
    assert await digests.list_days(reader_id, before=DAY) == []


async def test_a_search_finds_typed_words_in_own_digests_only(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader_id, digests = uuid4(), Digests(client)
    cats = item("Networks for cats", authors=("Erwin Schrödinger",), url="https://example.org/cats")
    dogs = item("Dogs", summary="A graph neural network that learns of dogs.")
    await write(database, reader_id, DAY, [dogs, cats], [item("A cat show")])
    await write(database, reader_id, DAY + timedelta(days=1), [cats])
    await write(database, uuid4(), DAY, [cats, dogs])

    async def found(text: str, limit: int = 50) -> list[tuple[int, str, int]]:
        answer = await digests.search(reader_id, text, limit=limit)
        return [((each.local_day - DAY).days, each.kind.value, each.place) for each in answer]

    both = [(1, "paper", 0), (0, "paper", 1)]
    assert await found("cat") == [*both, (0, "news", 0)]
    assert await found("cats", limit=2) == both
    assert await found("SCHRODINGER network") == await found("schrödinger") == both
    assert await found('"graph neural network"') == await found("learning dogs") == [(0, "paper", 0)]
    assert await found('"neural graph"') == await found("dogs cats") == await found("narwhal") == []
    assert await found("dogs or show") == [(0, "paper", 0), (0, "news", 0)]
    assert await found("cat -network") == [(0, "news", 0)]
    assert (await digests.search(reader_id, "schrodinger"))[0] == SearchHit(
        local_day=DAY + timedelta(days=1),
        kind=ArticleKind.PAPER,
        place=0,
        title="Networks for cats",
        url="https://example.org/cats",
    )


async def test_no_search_text_or_title_causes_an_error(client: AsyncClient, database: asyncpg.Connection) -> None:
    reader_id, digests = uuid4(), Digests(client)
    await write(
        *(database, reader_id, DAY),
        papers=[
            item("x" * 1_000_000),
            item("w " * 500_000),
            None,
            7,
            {"article": []},
            {"article": {"title": {"a": 1}}},
        ],
        news=[
            item("]]>\u202e🦄 '\"\\ <b>" * 100, authors=("a" * 100_000,), summary=" ".join(map(str, range(100_000))))
        ],
    )
    for text in HOSTILE:
        found = await digests.search(reader_id, text)
        assert len(found) <= 7, text[:50]
    assert await digests.search(reader_id, "the") == await digests.search(uuid4(), "-x") == []
    (day,) = await digests.list_days(reader_id)
    assert (day.papers, day.news, len(day.first_title or "")) == (6, 1, 500)


@pytest.fixture
async def two_years(database: asyncpg.Connection) -> UUID:
    """A reader with two years of digests, and other readers with digests."""
    reader_id = uuid4()
    await database.execute(EMPTY_DAYS, [reader_id], 730)
    await database.execute(EMPTY_DAYS, [uuid4() for _ in range(20)], 30)
    await database.execute(YEARS)
    await database.execute("vacuum analyze public.digests, public.archived_items")
    return reader_id


async def test_searches_and_lists_of_two_years_use_indexes(database: asyncpg.Connection, two_years: UUID) -> None:
    match = f"words @@ ('''reader:{two_years}'''::tsquery && websearch_to_tsquery('english', '%s'))"
    plan = await explained(database, f"select place from public.archived_items where {match % 'narwhals'}")
    assert "archived_items_words" in indexes(plan)
    for text, most in (("narwhals", 60), ("w7 w77 w777", 300), ("graphs -w7 -w77", 20_000)):
        call = f"select public.search_digests('{two_years}', '{text}', 50)"
        await explained(database, call)
        plan = await explained(database, call)
        assert buffers(plan) < most, text
    days = f"select papers from public.digests where reader_id = '{two_years}' and local_day < '2026-01-01'"
    plan = await explained(database, f"{days} order by local_day desc limit 60")
    assert indexes(plan) == {"digests_of_reader"}
    assert buffers(plan) < 70
    for _ in range(2):  # the second call, with cached plans
        plan = await explained(database, "select public.prune_digests(700, 500)")
    assert buffers(plan) < 10, "without old rows, nothing is read"
