"""What no sequence of calls may leave behind: rows that other rows no longer explain."""

from typing import Final

import asyncpg

OF_READERS: Final = ("tasks", "deliveries", "digests", "archived_items", "shown_items", "shown_digests")
"""Tables with a `reader_id` without a foreign key, because their writers must not wait for the reader's row."""
LEFT_BEHIND: Final = {
    "rows of the queue without a task": "select from public.queue q left join public.tasks t using (task_id)"
    " where t.task_id is null",
    "unfinished tasks that are not in the queue": "select from public.tasks t left join public.queue q using (task_id)"
    " where t.status is null and q.task_id is null",
    "ended tasks that are in the queue": "select from public.tasks t join public.queue q using (task_id)"
    " where t.status is not null and not q.dead_letter",
    "files whose import has ended": "select from public.uploads u left join public.tasks t on t.task_id = u.upload_id"
    " where u.received and (t.task_id is null or t.status is not null)",
    "open deliveries without a task": "select from public.deliveries d where d.status in ('pending', 'sending')"
    " and not exists (select from public.queue q where q.task_id = d.task_id and not q.dead_letter)",
} | {
    f"rows of removed readers in {table}": f"select from public.{table} o"
    " where o.reader_id is not null and not exists (select from public.readers r where r.reader_id = o.reader_id)"
    for table in OF_READERS
}


async def left_behind(database: asyncpg.Connection) -> dict[str, int]:
    """The number of rows of each kind that should not exist; empty if there are none."""
    counts = {
        kind: await database.fetchval(f"select count(*) from ({query}) left_behind")
        for kind, query in LEFT_BEHIND.items()
    }
    return {kind: count for kind, count in counts.items() if count}
