"""Every index has a query of the schema's functions that can use it, so that none is dropped, changed or left unused.

The tables are empty, and the planner avoids reading them: it takes an index if there is one for the query.
"""

from typing import Final

import asyncpg

from embedded.stack import Ready
from tests.contract.query_plans import indexes, planned

ID: Final = "'00000000-0000-4000-8000-000000000001'::uuid"

QUERIES: Final = {
    "tasks_newest": "select 1 from tasks where owner = 'a' and kind = 'fetch' order by created_at desc, task_id desc",
    "tasks_by_date": "select 1 from tasks where source_date = '2026-11-24' and owner = 'a' and kind = 'fetch'"
    " order by created_at desc, task_id desc",
    "cancelled_tasks_newest": "select 1 from cancelled_tasks order by created_at desc, task_id desc",
    "tasks_of_reader": f"select 1 from tasks where reader_id = {ID}",
    "queue_claim": "select 1 from queue where kind = 'fetch' and priority = 1 and not dead_letter and run_at <= now()"
    " order by run_at, task_id",
    "queue_cancel": "select 1 from queue where cancel_requested",
    "queue_waiting": f"select 1 from queue where waits_for = {ID}",
    "queue_dead_letters": f"select 1 from queue where kind = 'fetch' and dead_letter and task_id > {ID}"
    " order by task_id",
    "queue_causes": "select 1 from queue where kind = 'fetch' and cause = 'x' and dead_letter order by task_id",
    "items_arrived": "select 1 from items where first_seen >= now() order by first_seen, item_id",
    "item_keys_of_item": f"select 1 from item_keys where item_id = {ID}",
    "articles_of_item": f"select 1 from articles where item_id = {ID}",
    "shown_items_old": "select 1 from shown_items where shown_at < now()",
    "cache_entries_expiry": "select 1 from cache_entries where expires_at < now() order by expires_at",
    "digests_of_reader": f"select 1 from digests where reader_id = {ID} order by local_day desc",
    "digests_old": "select 1 from digests where reader_id is not null and created_at < now() order by created_at",
    "archived_items_words": "select 1 from archived_items where words @@ 'ice'::tsquery",
    "readers_listed": f"select 1 from readers where owner = 'a' and reader_id > {ID} order by reader_id",
    "readers_by_status": "select 1 from readers where status = 'paused'",
    "readers_by_email": "select 1 from readers where lower(email) = 'ada@example.org'",
    "readers_due": "select 1 from readers where least(next_due_at, overdue_at) <= now()"
    " order by least(next_due_at, overdue_at), reader_id",
    "readers_to_erase": "select 1 from readers_private where erase_requested_at is not null order by reader_id",
    "deliveries_newest": "select owner from deliveries where owner > 'a' order by owner",
    "deliveries_by_status": "select 1 from deliveries where status = 'sent' order by created_at desc, delivery_id desc",
    "deliveries_of_task": f"select 1 from deliveries where task_id = {ID} and status in ('pending', 'sending')",
    "confirmations_open": "select 1 from confirmations where confirmed_at is null and not kept order by requested_at",
    "confirmation_mails_newest": "select 1 from confirmation_mails where last_at > now()",
    "sign_ups_newest": "select 1 from sign_ups where requested_at > now() order by requested_at desc",
    "reader_papers_listed": f"select 1 from reader_papers where reader_id = {ID}"
    " order by created_at desc, paper_id desc",
    "reader_papers_saved": f"select 1 from reader_papers where reader_id = {ID} and saved_at is not null"
    " order by saved_at desc, paper_id desc",
    "reader_papers_rated": f"select 1 from reader_papers where reader_id = {ID} and liked is not null"
    " and title is not null and vector <> '' and (origin not in ('library', 'zotero') or not liked)"
    " order by rated_at desc, paper_id",
    "reader_papers_of_library": f"select 1 from reader_papers where reader_id = {ID} and liked and title is not null"
    " and vector <> '' and origin in ('library', 'zotero')"
    " order by (abstract = ''), published_at desc nulls last, paper_id",
    "reader_papers_to_look_up": "select arxiv_id from reader_papers"
    " where arxiv_id is not null and abstract = '' and looked_up_at is null",
    "reader_papers_dois_to_look_up": "select doi from reader_papers"
    " where doi is not null and arxiv_id is null and abstract = '' and looked_up_at is null",
    "reader_paper_keys_of_paper": f"select 1 from reader_paper_keys where paper_id = {ID}",
    "reader_papers_by_vector_version": "select 1 from reader_papers where left(vector, 2) < 'v2' and vector <> ''"
    " order by left(vector, 2), paper_id",
    "uploads_of_reader": f"select 1 from uploads where reader_id = {ID}",
    "uploads_of_owner": "select 1 from uploads where owner = 'a'",
    "uploads_receiving": "select 1 from uploads where not received and touched_at < now() order by touched_at",
    "reader_libraries_due": "select 1 from reader_libraries where next_sync_at <= now()"
    " order by next_sync_at, reader_id",
    "reader_libraries_refused": "select reader_id from reader_libraries where problem_kind = 'key_refused'",
    "library_entries_of_paper": f"select 1 from library_entries where paper_id = {ID}",
    "audit_newest": "select 1 from audit order by created_at desc, audit_id desc",
}
"""By the index, the condition and the order with which a function reads its table."""

PLAIN_INDEXES: Final = """
select c.relname from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid = i.indexrelid
 where c.relnamespace = 'public'::regnamespace and not i.indisunique"""
"""The others keep something unique, which the tests of the tables show."""


async def unused(connection: asyncpg.Connection) -> set[str]:
    return {index for index, query in QUERIES.items() if index not in indexes(await planned(connection, query))}


async def test_each_query_can_use_its_index(stack: Ready, database: asyncpg.Connection) -> None:  # noqa: ARG001  (empty)
    connection = await asyncpg.connect(stack.database_url, server_settings={"search_path": "public"})
    try:
        await connection.execute("set enable_seqscan = off; set enable_sort = off")
        missed = await unused(connection)
        # A GIN index has only bitmap scans, and costs more than another index of an empty table.
        await connection.execute("set enable_indexscan = off; set enable_indexonlyscan = off")
        assert missed & await unused(connection) == set()
    finally:
        await connection.close()


async def test_each_index_has_a_query(database: asyncpg.Connection) -> None:
    assert {row["relname"] for row in await database.fetch(PLAIN_INDEXES)} == QUERIES.keys()
