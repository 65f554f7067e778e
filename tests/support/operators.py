"""An operator's view: a system with one object of each kind, and a signed-in browser."""

import json
import re
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx

from app.config import ApiSettings
from embedded.stack import Ready

ROOT_KEY, EVE_KEY, ADA_KEY = "root-key-0123456789", "eve-key-0123456789", "ada-key-0123456789"
KEYS = f"root:{ROOT_KEY},eve:{EVE_KEY},ada:{ADA_KEY}"
HOSTILE = '<script>alert(\'x\')</script>"><b id="{{12345*67891}}">&amp; \u202e'
WIDE = "W" * 90

_DEAD = """
with made as (
    insert into public.tasks (task_id, owner, kind, source_date, request_hash, status, error, attempt, finished_at)
    select gen_random_uuid(), 'ada', $1, '2026-03-04', 'test', 'failed', $2, 5, now() - n * interval '1 s'
      from generate_series(1, $3) n returning task_id, finished_at)
insert into public.queue (task_id, kind, priority, run_at, max_attempts, attempt, dead_letter, error, updated_at)
select task_id, $1, 1, now(), 5, 5, true, $2, finished_at from made"""
_MINUTES = """
insert into public.task_stats (minute, kind, completed, failed, retried, waits, wait_sum, wait_max, ready, running,
                            oldest, model_calls, model_failures, input_tokens, output_tokens,
                            model_fallbacks)
select date_trunc('minute', now()) - n * interval '1 min', kind, 20 + (15 * sin(n / 30.0))::integer,
       case when n % 17 = 0 then 3 else 0 end, 1, 10, 25, case when n between 80 and 110 then 40 else 4 + n % 5 end,
       1, 1, 2, 2, 0, 12000, 3000, '{"cut_off": 1}'
  from generate_series(0, 350) n cross join unnest(array['fetch', 'digest', 'delivery', 'callback']) kind
 where kind <> 'fetch' or n % 20 = 0"""
_ATTEMPTS = """
insert into public.task_attempts (task_id, lease_token, worker_id, host, attempt, outcome, ended_at, error)
select task_id, public.new_lease_token(now() - n * interval '1 min'), gen_random_uuid(), $1, 4 - n,
       (array['failed', 'snoozed', 'lost'])[n], now() - n * interval '50 s', $2
  from public.queue cross join generate_series(1, 3) n where dead_letter"""
_DETAILS = """
with failed as (
    update public.tasks set payload = $1::text::jsonb, callback_url = $2,
           traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
     where status = 'failed' returning task_id, error)
insert into public.tasks (task_id, kind, parent, request_hash, status, error, attempt, finished_at)
select md5('callback:' || task_id || ':0')::uuid, 'callback', task_id, '', 'failed', error, 1, now() from failed"""
_DELIVERIES = """
insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, status, reason, begun_at, ended_at)
select gen_random_uuid(), 'ada', reader_id, 'digest', '2026-03-04', 'in_doubt', $1, now(), now() from public.readers"""


async def dead_tasks(database: asyncpg.Connection, kind: str, error: str, count: int = 1) -> None:
    """Create permanently failed tasks."""
    await database.execute(_DEAD, kind, error, count)


async def healthy_worker(database: asyncpg.Connection) -> None:
    """Create a worker that is alive and has all settings."""
    await database.execute(
        "with one as (insert into public.workers (worker_id, seen_at, lease, reported_at, host, version)"
        " values (gen_random_uuid(), now(), '1 minute', now(), 'w1', '0.1.0') returning worker_id)"
        " insert into public.worker_configuration (worker_id, not_configured, services)"
        """ select worker_id, '{}', '["arxiv", "feed:a", "model"]' from one"""
    )


async def furnish(database: asyncpg.Connection) -> None:
    """Create objects of each kind, with hostile names and errors."""
    readers = [
        ("active", HOSTILE, "ada-1"),
        ("paused", WIDE, WIDE),
        ("bounced", "Bo", "bo"),
        ("unsubscribed", "Cy", "cy"),
    ]
    for status, name, called in readers:
        await database.execute(
            "insert into public.readers (owner, external_id, name, email, status, status_reason, timezone, send_at)"
            " values ('ada', $1, $2, $3, $4, $5, 'Europe/Berlin', '07:00')",
            called, name, f"{status}@example.org", status, None if status == "active" else HOSTILE,
        )  # fmt: skip
    await database.execute(_DELIVERIES, HOSTILE * 3)
    await database.execute(
        "insert into public.workers (worker_id, seen_at, lease, reported_at, host, version)"
        " select gen_random_uuid(), now() - n * interval '4 s', '1 min', now(), (array[$1, $2])[n], '0.1.0'"
        " from generate_series(1, 2) n",
        HOSTILE, WIDE,
    )  # fmt: skip
    await database.execute(
        "insert into public.circuit_breakers (name, state, failures, retry_at)"
        " values ($1, 'open', 7, now() + interval '50 s'), ('arxiv', 'closed', 0, null)",
        HOSTILE,
    )
    await database.execute(
        "insert into public.sources (name, succeeded_at, source_date, items, failed_at, error)"
        " values ('arxiv', now(), '2026-03-04', 812, null, null), ($1, null, null, null, now(), $2)",
        HOSTILE, HOSTILE * 20,
    )  # fmt: skip
    counts = json.dumps({"arxiv": 812, HOSTILE: 3, WIDE: 5})
    await database.execute(
        "insert into public.editions (source_date, status, counts)"
        " select (now() at time zone 'UTC')::date - n, 'completed', $1 from generate_series(2, 6) n",
        counts,
    )
    await database.execute(_MINUTES)
    await dead_tasks(database, "digest", HOSTILE)
    await dead_tasks(database, "fetch", f"{HOSTILE * 40}{WIDE}")
    await database.execute(_ATTEMPTS, HOSTILE, f"{HOSTILE * 10}{WIDE}")
    await database.execute(_DETAILS, json.dumps({HOSTILE: [HOSTILE, WIDE]}), f"https://example.org/{WIDE}")
    await database.execute("select public.pause_kind(gen_random_uuid(), 'root', 'callback', $1)", HOSTILE)


def settings_with_operators(stack: Ready, **more: Any) -> ApiSettings:
    """Two admins, root and eve, and the caller ada, who is no admin."""
    values = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": KEYS, "admins": "root,eve"}
    return ApiSettings.model_validate(values | more)


@dataclass
class Operator:
    """A person with a browser, which keeps cookies and submits forms."""

    http: httpx.AsyncClient

    async def sign_in(self, key: str = ROOT_KEY, **form: str) -> httpx.Response:
        return await self.http.post("/ops/sign-in", data={"key": key, **form})

    async def press(self, page: str, action: str, **fields: str) -> httpx.Response:
        """Submit the page's form with this `action` and the fields that it contains."""
        return await self.http.post(action, data={"token": await self.token(page), **fields})

    async def token(self, page: str = "/ops") -> str:
        """The token in the forms of a page, which is the same in all of them."""
        shown = (await self.http.get(page)).text
        tokens: set[str] = set(re.findall(r'name="token" value="([^"]+)"', shown))
        (token,) = tokens
        return token
