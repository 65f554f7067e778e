"""Writes docs/ops.png, the picture of the operator's page: `python -m tests.acceptance.ops_picture [FOLDER]`.

The figures are invented: a worker was lost, a source fails, and tasks fail for three causes. With a FOLDER it also
writes the overview, the list of failures and the page of a task there, in each width and colour scheme.
"""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

import asyncpg
from playwright.async_api import Page

from benchmarks.processes import emulator
from embedded.stack import Ready
from tests.support.browser import SCREENS, chromium, opened
from tests.support.forks import end_zygote
from tests.support.operators import KEYS, ROOT_KEY, dead_tasks
from tests.support.processes import api_process, kill_what_is_left, start_api

PICTURE = Path(__file__).parents[2] / "docs" / "ops.png"
WORKERS = """
with made as (
    insert into public.workers (worker_id, seen_at, lease, reported_at, host, version, lost_at)
    select md5(n::text)::uuid, now() - case n when 3 then interval '374 s' else n * interval '3 s' end, '1 min', now(),
           'worker-' || n, '0.1.0', case n when 3 then now() - interval '5 min' end
      from generate_series(1, 3) n returning worker_id)
insert into public.worker_configuration (worker_id, not_configured, services)
select worker_id, '{}', '["arxiv", "feed:nature", "feed:quanta", "model"]' from made"""
SOURCES = """
insert into public.sources (name, succeeded_at, source_date, items, failed_at, error, failing_since)
values ('arxiv', now() - interval '40 min', current_date - 1, 812, null, null, null),
       ('feed:nature', now() - interval '26 h', current_date - 2, 34, now() - interval '40 min',
        'feed:nature responded 503 Service Unavailable', now() - interval '25 h'),
       ('feed:quanta', now() - interval '40 min', current_date - 1, 3, null, null, null)"""
EDITIONS = """
insert into public.editions (source_date, status, counts)
select current_date - n, 'completed',
       jsonb_build_object('arxiv', 500 + 61 * n, 'feed:nature', 30 + n, 'feed:quanta', n % 4)
  from generate_series(2, 6) n"""
BREAKERS = """
insert into public.circuit_breakers (name, state, failures, retry_at, reason, failed_at)
values ('feed:nature', 'open', 5, now() + interval '34 s', 'HTTP 503', now()),
       ('arxiv', 'closed', 0, null, null, null)"""
STATS = """
insert into public.task_stats (minute, kind, completed, failed, retried, waits, wait_sum, wait_max, ready, running,
                               oldest, model_calls, input_tokens, output_tokens)
select date_trunc('minute', now()) - n * interval '1 min', kind,
       case kind when 'fetch' then (n % 90 < 3)::integer when 'callback' then (9 + 2 * sin(n / 40.0))::integer
                 else (70 * exp(-(((n - 180) / 40.0) ^ 2)))::integer + 4 end,
       case when kind = 'digest' and n between 1 and 25 then 12 else 0 end, 0, 10, 20, 6, 0, 0, 0,
       case kind when 'digest' then 3 else 0 end, 5200, 900
  from generate_series(0, 350) n cross join unnest(array['fetch', 'digest', 'delivery', 'callback']) kind"""
READERS = """
insert into public.readers (owner, external_id, name, timezone, send_at, status)
select 'web', n::text, 'Reader', 'UTC', '07:00',
       case when n <= 13 then 'paused' when n <= 17 then 'unsubscribed' else 'active' end
  from generate_series(1, 412) n"""
FAILED_OVER_A_DAY = """
update public.queue set updated_at = now() - interval '1 min' - (random() ^ 3) * interval '14 h' where dead_letter;
update public.tasks t set finished_at = q.updated_at, created_at = q.updated_at - interval '2 min'
  from public.queue q where q.task_id = t.task_id"""
ATTEMPTS = """
insert into public.task_attempts (task_id, lease_token, worker_id, host, attempt, outcome, ended_at, error)
select $1, public.new_lease_token(now() - n * interval '7 min'), md5(n::text)::uuid, 'worker-' || n, 4 - n,
       (array['failed', 'snoozed', 'lost'])[n], now() - n * interval '7 min' + interval '31 s',
       (array['the model responded 500: out of memory', 'arXiv is busy, will be retried in 60 s',
              'worker lost: its lease expired'])[n]
  from generate_series(1, 3) n"""
PAYLOAD = """
update public.tasks
   set payload = '{"profile": {"name": "Ada", "interests": ["graph neural networks"]}, "max_papers": 8}', attempt = 5,
       traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
       callback_url = 'https://hooks.example.com/services/8gQkDvRZ2mX4bN7cP1wY'
 where task_id = $1"""


async def furnish(database: asyncpg.Connection) -> UUID:
    """Write the figures; return the task whose page is shown."""
    for statement in (WORKERS, SOURCES, EDITIONS, BREAKERS, STATS, READERS):
        await database.execute(statement)
    await dead_tasks(database, "digest", "the model responded 500: out of memory", 2001)
    await dead_tasks(database, "callback", "hooks.example.com responded 410 Gone", 12)
    await dead_tasks(database, "delivery", "550 5.1.1 unknown recipient", 3)
    await database.execute(FAILED_OVER_A_DAY)
    task: UUID = await database.fetchval(
        "select task_id from public.queue where kind = 'digest' and dead_letter order by updated_at desc limit 1"
    )
    await database.execute(ATTEMPTS, task)
    await database.execute(PAYLOAD, task)
    return task


async def look(page: Page, address: str, task: UUID, folder: Path | None) -> None:
    """Take the pictures."""
    await page.goto(f"{address}/ops")
    await page.fill("#key", ROOT_KEY)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{address}/ops")
    await page.set_viewport_size({"width": 1200, "height": 900})
    await page.screenshot(path=PICTURE, full_page=True)
    pages = {"overview": "/ops", "failures": "/ops/tasks?status=failed", "task": f"/ops/tasks/{task}"}
    for name, path in pages.items() if folder else ():
        await page.goto(address + path)
        for width, scheme in SCREENS:
            await page.set_viewport_size({"width": width, "height": 1400})
            await page.emulate_media(color_scheme=scheme)
            await page.screenshot(path=f"{folder}/{name}-{width}-{scheme}.png", full_page=name == "task")


async def draw(ready: Ready, folder: Path | None) -> None:
    """Fill the database, start the API and take the pictures."""
    database = await asyncpg.connect(ready.database_url)
    try:
        task = await furnish(database)
        api = api_process(ready, API_KEYS=KEYS, ADMINS="root", TRACE_URL="https://traces.example.com/{trace_id}")
        address = await start_api(api)
        async with chromium() as browser, opened(browser) as page:
            await look(page, address, task, folder)
        await api.stop()
    finally:
        kill_what_is_left()
        end_zygote()
        await database.close()


if __name__ == "__main__":
    with emulator(durable=False) as ready_emulator:
        asyncio.run(draw(ready_emulator, Path(sys.argv[1]) if len(sys.argv) > 1 else None))
