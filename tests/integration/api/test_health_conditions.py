"""Each condition of the health line, provoked in the database: seen in JSON, page and metric, and gone afterwards."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.conditions import findings
from app.conditions.catalog import CONDITIONS
from app.conditions.report import ALL_WELL
from app.models.tasks import TaskKind
from embedded.stack import Ready
from tests.support.applications import application
from tests.support.operators import HOSTILE, ROOT_KEY, Operator, healthy_worker, settings_with_operators
from tests.support.tasks import insert_tasks

BY_DATABASE: dict[str, tuple[str, str]] = {
    "no_worker": (
        "update public.workers set seen_at = now() - interval '6 minutes'",
        r"No worker is alive: no task is processed\. The last one, w1, was seen 6 min",
    ),
    "worker_lost": (
        "insert into public.workers (worker_id, seen_at, lease, reported_at, host)"
        " values (gen_random_uuid(), now() - interval '5 minutes', '1 minute', now(), 'w2')",
        r"The worker w2 was last seen 5 min",
    ),
    "all_sources_failing": (
        "insert into public.sources (name, failed_at, error, failing_since)"
        " values ('arxiv', now(), 'HTTP 503', now()), ('feed:a', now(), 'HTTP 404', now())",
        r"No source can be read\. arxiv: HTTP 503; feed:a: HTTP 404",
    ),
    "source_failing": (
        "insert into public.sources (name, succeeded_at, failed_at, error, failing_since)"
        " values ('arxiv', now(), null, null, null), ('feed:a', null, now(), 'HTTP 503', now() - interval '1 hour')",
        r"The source feed:a cannot be read: HTTP 503",
    ),
    "mail_failing": (
        "insert into public.task_stats (minute, kind, completed, failed, retried)"
        " values (date_trunc('minute', now()), 'delivery', 2, 1, 2)",
        r"Mails fail\. Of the attempts in the last 15 minutes, 3 failed and 2 succeeded",
    ),
    "mail_not_configured": (
        """update public.worker_configuration set not_configured = '{"MAIL_URL": "no mails"}'""",
        r"No worker can send mails: MAIL_URL is not set",
    ),
    "fetch_not_scheduled": (
        """update public.worker_configuration set not_configured = '{"DAILY_FETCH_AT": "none"}'""",
        r"DAILY_FETCH_AT is off",
    ),
    "readers_overdue": (
        "insert into public.readers (owner, external_id, name, timezone, send_at)"
        " values ('ada', 'r', 'R', 'UTC', '07:00');"
        "alter table public.readers disable trigger user;"
        "update public.readers set next_due_at = now() - interval '11 minutes';"
        "alter table public.readers enable trigger user",
        r"1 readers are due for more than 10 minutes",
    ),
    "delivery_rate_low": (
        "insert into public.delivery_rate (computed_at, rate) values (now(),"
        """ '{"due": 10, "sent": 5, "late": 1, "missing": 2, "pending": 0, "delivered": 6,"""
        """ "skipped": [{"reason": "no source could be read", "readers": 2}]}')""",
        r"Only 60 % of today's 10 digests arrived: 5 sent, 1 late, 2 missing, 2 skipped \(no source could be read\)",
    ),
    "model_failing": (
        "insert into public.task_stats (minute, kind, model_calls, model_failures)"
        " values (date_trunc('minute', now()), 'digest', 5, 3)",
        r"The language model fails: 3 of 5 calls",
    ),
    "model_fallback": (
        "insert into public.task_stats (minute, kind, model_fallbacks)"
        """ values (date_trunc('minute', now()), 'digest', '{"budget": 2, "cut_off": 3}')""",
        r"In the last hour, 5 items got excerpts instead of the model's summaries: cut off 3, budget 2\.",
    ),
    "deliveries_in_doubt": (
        "insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, status)"
        " values (gen_random_uuid(), 'ada', gen_random_uuid(), 'digest', current_date, 'in_doubt')",
        r"Mails in doubt: 1",
    ),
    "deliveries_paused": ("select public.set_delivery_pause('a look first')", r"paused: a look first"),
    "library_keys_refused": (
        "insert into public.readers (owner, external_id, name) values ('ada', 'r', 'R');"
        "insert into public.reader_libraries (reader_id, library, collections, problem_kind, problem)"
        " select reader_id, 'users/1', '{}', 'key_refused', 'no' from public.readers",
        r"Zotero refuses the keys of libraries: 1\.",
    ),
    "erasures_unfinished": (
        "insert into public.readers (owner, external_id, name) values ('ada', 'r', 'R');"
        "update public.readers_private set erase_requested_at = now() - interval '61 minutes'",
        r"still there after more than an hour: 1\.",
    ),
    "kind_paused": (
        "select public.pause_kind(gen_random_uuid(), 'root', 'fetch', 'arXiv is moving')",
        r"Fetch tasks are paused: arXiv is moving",
    ),
}
MINUTE = "date_trunc('minute', now())"
NOT_HELD = {
    "readers_overdue": ("11 minutes", "5 minutes"),
    "erasures_unfinished": ("61 minutes", "50 minutes"),
    "delivery_rate_low": ("(now(),", "(now() - interval '11 minutes',"),
    "mail_failing": (MINUTE, f"{MINUTE} - interval '15 minutes'"),
    "model_failing": (MINUTE, f"{MINUTE} - interval '15 minutes'"),
    "model_fallback": (MINUTE, f"{MINUTE} - interval '1 hour'"),
}
"""Times at which a condition does not hold yet, or no longer."""
OTHERWISE = {"database_unreachable", "schema_behind", "queue_delayed", "clock_differs"}


class Api:
    """A running API, and what an operator sees of its health."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def problems(self) -> dict[str, str]:
        """The texts by condition, after JSON, page and metric agree."""
        answer = await self.http.get("/v1/admin/health", headers={"X-API-Key": ROOT_KEY})
        report: dict[str, Any] = answer.json()
        found = {problem["condition"]: problem["text"] for problem in report["problems"]}
        assert await self.counted() == found.keys()
        page = (await self.http.get("/ops")).text
        line = page[page.index('<section class="health"') :].partition("</section>")[0]
        assert (ALL_WELL in line) == (report["status"] == "ok") == (not found)
        assert line.count("<li") == len(report["problems"])
        return found

    async def kinds_with(self, condition: str) -> set[str]:
        """The kinds of task that the texts of a condition name."""
        report = (await self.http.get("/v1/admin/health", headers={"X-API-Key": ROOT_KEY})).json()
        texts = " ".join(each["text"] for each in report["problems"] if each["condition"] == condition).lower()
        return {kind for kind in TaskKind if f"{kind} task" in texts}

    async def counted(self) -> set[str]:
        """The conditions whose metric is not 0."""
        text = (await self.http.get("/metrics", headers={"X-API-Key": ROOT_KEY})).text
        samples = re.findall(r'^broadsheet_condition{condition="(\w+)",severity="\w+"} (\S+)$', text, re.MULTILINE)
        return {name for name, value in samples if float(value)}


@pytest.fixture
async def api(stack: Ready, database: asyncpg.Connection) -> AsyncIterator[Api]:
    await healthy_worker(database)
    async with AsyncExitStack() as opened:
        app = opened.enter_context(application(settings_with_operators(stack)))
        await opened.enter_async_context(app.router.lifespan_context(app))
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", timeout=60)
        assert (await Operator(await opened.enter_async_context(http)).sign_in()).status_code == 303
        yield Api(http)


def test_a_test_provokes_each_condition() -> None:
    assert BY_DATABASE.keys() | OTHERWISE == {condition.name for condition in CONDITIONS}


async def test_nothing_is_wrong_with_a_healthy_service(api: Api) -> None:
    assert await api.problems() == {}


@pytest.mark.parametrize("name", BY_DATABASE)
async def test_a_condition_is_seen_everywhere_and_ends(name: str, api: Api, database: asyncpg.Connection) -> None:
    statement, text = BY_DATABASE[name]
    await database.execute(statement)
    found = await api.problems()
    assert found.keys() == {name}
    assert re.search(text, found[name]), found[name]
    await database.execute(
        "select public.set_delivery_pause(null); truncate public.workers, public.worker_configuration,"
        " public.sources, public.task_stats, public.delivery_rate, public.deliveries, public.pauses,"
        " public.readers cascade"
    )
    await healthy_worker(database)
    assert await api.problems() == {}


async def test_conditions_hold_within_their_time_alone(api: Api, database: asyncpg.Connection) -> None:
    for name, (held, not_held) in NOT_HELD.items():
        statement = BY_DATABASE[name][0]
        assert held in statement, name
        await database.execute(statement.replace(held, not_held).replace("'r', ", f"'{name}', "))
    assert await api.problems() == {}


@pytest.mark.parametrize("kind", TaskKind)
async def test_a_task_that_waits_too_long_is_a_condition(
    api: Api, database: asyncpg.Connection, kind: TaskKind
) -> None:
    await insert_tasks(database, 2, kind=kind, delay="-3 minutes")
    found = await api.problems()
    assert found.keys() == {"queue_delayed"}
    assert f"A ready {kind} task has waited 3 min" in found["queue_delayed"]
    await database.execute("select public.pause_kind(gen_random_uuid(), 'root', $1, 'later')", kind)
    assert (await api.problems()).keys() == {"kind_paused"}, "a pause explains the wait"


async def test_each_kind_that_waits_or_is_paused_is_named(api: Api, database: asyncpg.Connection) -> None:
    for kind in TaskKind:
        await insert_tasks(database, 1, kind=kind, delay="-3 minutes")
    assert await api.kinds_with("queue_delayed") == set(TaskKind)
    for kind in TaskKind:
        await database.execute("select public.pause_kind(gen_random_uuid(), 'root', $1, 'later')", kind)
    assert await api.kinds_with("queue_delayed") == set()
    assert await api.kinds_with("kind_paused") == set(TaskKind)


async def test_mails_wait_on_purpose_while_no_worker_can_send_them(api: Api, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 1, kind="delivery", delay="-3 minutes")
    assert (await api.problems()).keys() == {"queue_delayed"}
    await database.execute(BY_DATABASE["mail_not_configured"][0])
    assert (await api.problems()).keys() == {"mail_not_configured"}, "the missing sender explains the wait"


async def test_an_older_schema_is_a_condition(api: Api, database: asyncpg.Connection) -> None:
    body = await database.fetchval("select pg_get_functiondef('public.schema_version'::regproc)")
    try:
        await database.execute(re.sub(r"select \d+", "select 1", body))
        found = await api.problems()
    finally:
        await database.execute(body)
    assert found.keys() == {"schema_behind"}
    assert "has version 1, this code needs" in found["schema_behind"]
    assert await api.problems() == {}


async def test_a_clock_that_differs_is_a_condition(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "CLOCK_TOLERANCE", timedelta(seconds=-1))
    assert (await api.problems()).keys() == {"clock_differs"}


async def test_an_unreachable_database_is_a_condition(stack: Ready) -> None:
    settings = settings_with_operators(stack, supabase_url="http://127.0.0.1:9", supabase_retries=0)
    with application(settings) as app:
        async with app.router.lifespan_context(app):
            http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", timeout=60)
            async with http:
                answer = await http.get("/v1/admin/health", headers={"X-API-Key": ROOT_KEY})
                assert [each["condition"] for each in answer.json()["problems"]] == ["database_unreachable"]
                assert (answer.status_code, answer.json()["status"]) == (200, "critical")
                assert await Api(http).counted() == {"database_unreachable"}


async def test_the_most_serious_problem_is_in_the_line(api: Api, database: asyncpg.Connection) -> None:
    for name in ("deliveries_in_doubt", "kind_paused", "no_worker"):
        await database.execute(BY_DATABASE[name][0])
    answer = (await api.http.get("/v1/admin/health", headers={"X-API-Key": ROOT_KEY})).json()
    assert [each["severity"] for each in answer["problems"]] == ["critical", "warning", "notice"]
    assert answer["summary"].startswith("No worker is alive")
    assert answer["summary"].endswith("And 2 more problems.")
    assert answer["summary"] in (await api.http.get("/ops")).text


async def test_errors_in_the_health_line_are_short_and_escaped(api: Api, database: asyncpg.Connection) -> None:
    await database.execute(
        "insert into public.sources (name, failed_at, error, failing_since) values ($1, now(), $2, now())",
        HOSTILE, HOSTILE * 30,
    )  # fmt: skip
    await database.execute("update public.worker_configuration set services = jsonb_build_array($1::text)", HOSTILE)
    (text,) = (await api.problems()).values()
    assert len(text) < 400
    assert "<script>alert" not in (await api.http.get("/ops")).text


async def test_a_source_that_was_removed_is_no_problem(api: Api, database: asyncpg.Connection) -> None:
    await database.execute(
        "insert into public.sources (name, succeeded_at, failed_at, error)"
        " values ('arxiv', now(), null, null), ('feed:gone', null, now(), 'HTTP 410')"
    )
    assert await api.problems() == {}
