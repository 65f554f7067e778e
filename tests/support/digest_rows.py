"""Readers who were due today, with the digest task and the delivery that each test needs."""

import asyncpg

_READERS = """
with r as (
    insert into public.readers (owner, external_id, name, email, timezone, send_at)
    select 'ada', gen_random_uuid()::text, 'R', $1, 'UTC', '07:00' from generate_series(1, $2) returning reader_id)
select array_agg(reader_id) from r"""
_TASKS = """
insert into public.tasks (task_id, owner, kind, payload, source_date, reader_id, local_day, request_hash)
select md5('digest:' || id || ':' || d.day)::uuid, 'ada', 'digest',
       jsonb_build_object('scheduled', jsonb_build_object('due_at', now() - $2::text::interval)),
       d.day - 1, id, d.day, ''
  from unnest($1::uuid[]) id, (select (now() at time zone 'UTC')::date - $3::text::interval) n(moment),
       lateral (select n.moment::date as day) d"""
_DELIVERIES = """
insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, status, reason, ended_at)
select gen_random_uuid(), 'ada', id, 'digest', ((now() at time zone 'UTC')::date - $4::text::interval)::date, $2, $3,
       case when $2 <> 'pending' then now() - $5::text::interval + $6::text::interval end
  from unnest($1::uuid[]) id"""
_WRITTEN = """
insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest, created_at)
select task_id, owner, source_date, reader_id, null, '{"papers": [], "news": [], "keys": []}',
       now() - $2::text::interval + $3::text::interval
  from public.tasks where reader_id = any ($1)"""


async def digests_of_today(
    database: asyncpg.Connection,
    status: str | None,
    count: int,
    *,
    reason: str | None = None,
    due: str = "3 hours",
    sent_after: str = "1 minute",
    day: str = "0 days",
    email: str | None = "ada@example.org",
    task: bool = True,
    written: bool = False,
) -> None:
    """Create `count` readers in UTC who were due `due` ago. Without a `status` there is no delivery."""
    readers = await database.fetchval(_READERS, email, count)
    if task:
        await database.execute(_TASKS, readers, due, day)
    else:
        await database.execute("alter table public.readers disable trigger user")
        await database.execute(
            "update public.readers set next_due_at = now() - $2::text::interval where reader_id = any ($1)",
            readers,
            due,
        )
        await database.execute("alter table public.readers enable trigger user")
    if status is not None:
        await database.execute(_DELIVERIES, readers, status, reason, day, due, sent_after)
    if written:
        await database.execute(_WRITTEN, readers, due, sent_after)
