"""The operator's overview on the database: every part has the current figures, in one call."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.articles import EditionStatus
from app.models.tasks import TaskKind
from app.persistence.editions import Editions, Reading
from app.persistence.operator import Operator
from app.persistence.outcomes import Completed, Failed
from app.persistence.overview import KindStatus, Overview, StatPoint
from app.persistence.task_stats import TaskCounts, TaskStats
from embedded.stack import Ready
from tests.contract.callers import callers_of
from tests.support.tasks import DAY, Claimer, create, insert_tasks


@pytest.fixture
def operator(client: AsyncClient) -> Operator:
    return Operator(client)


def kind_of(overview: Overview, kind: str) -> KindStatus:
    (found,) = [each for each in overview.kinds if each.kind == kind]
    return found


def points_of(overview: Overview, kind: str) -> tuple[StatPoint, ...]:
    (found,) = [each.points for each in overview.task_stats.kinds if each.kind == kind]
    return found


async def test_an_empty_database_has_an_overview(operator: Operator) -> None:
    overview = await operator.overview()
    assert [kind.kind for kind in overview.kinds] == ["callback", "delivery", "digest", "fetch", "import"]
    assert {(kind.ready, kind.running, kind.failed, kind.oldest_seconds) for kind in overview.kinds} == {
        (0, 0, 0, None)
    }
    assert (overview.workers, overview.failed_tasks, overview.sources, overview.task_stats.kinds) == ((), (), (), ())
    assert (overview.deliveries.paused, overview.model_usage_today.input_tokens) == (None, 0)


async def test_the_queue_is_shown_by_kind(
    client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    dead = await create(client, max_attempts=1, owner="ada")
    await worker.finish(await worker.claim_one(), Failed("arXiv is down", None))
    await insert_tasks(database, 3)
    await insert_tasks(database, 2, delay="1 hour")
    await insert_tasks(database, 4, kind="digest", delay="-90 seconds")
    await worker.claim(1)
    overview = await operator.overview()
    fetch, digest = kind_of(overview, "fetch"), kind_of(overview, "digest")
    assert (fetch.ready, fetch.not_ready, fetch.running, fetch.failed) == (2, 2, 1, 1)
    await worker.claim(2)
    database_reset = kind_of(await operator.overview(), "fetch")
    assert (database_reset.ready, database_reset.running, database_reset.oldest_seconds) == (0, 3, None)
    assert (digest.ready, digest.oldest_seconds is not None and digest.oldest_seconds >= 90) == (4, True)
    (failed,) = overview.failed_tasks
    assert (failed.task_id, failed.owner, failed.error) == (dead.task_id, "ada", "arXiv is down")
    (seen,) = overview.workers
    assert (seen.worker_id, seen.running_tasks) == (worker.worker_id, 1)


async def test_workers_reports_add_up_to_one_row_per_minute_and_kind(
    client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    waited = [await create(client) for _ in range(2)]
    await database.execute("update public.tasks set created_at = created_at - interval '10 seconds'")
    for claimed in await worker.claim():
        await worker.finish(claimed, Completed({}))
    await insert_tasks(database, 5, delay="-30 seconds")
    ended = {TaskKind.FETCH: TaskCounts(completed=2, failed=1, retried=3, sample=(waited[0].task_id, uuid4()))}
    minutes = TaskStats(client)
    await asyncio.gather(*(minutes.report(uuid4(), 1, ended | {TaskKind.DIGEST: TaskCounts()}) for _ in range(8)))
    overview = await operator.overview(hours=1)
    points = points_of(overview, "fetch")
    assert [sum(getattr(each, name) for each in points) for name in ("completed", "failed", "retried")] == [16, 8, 24]
    assert (points[0].ready, points[0].running) == (5, 0)
    assert points[0].oldest_seconds >= 30
    for wait in (points[0].wait_mean_seconds, points[0].wait_max_seconds):
        assert wait is not None
        assert 10 <= wait < 70
    # Without a sample there is no wait.
    assert {each.wait_mean_seconds for each in points_of(overview, "digest")} == {None}
    assert await database.fetchval("select count(*) from public.task_stats where kind = 'fetch'") == len(points)


async def test_waiting_time_restarts_with_a_replay(
    client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    task = await create(client)
    await database.execute(
        "update public.tasks set status = 'completed', finished_at = now(), created_at = now() - interval '9 days',"
        " replayed_at = now() - interval '20 seconds', started_at = now() - interval '15 seconds'"
    )
    await TaskStats(client).report(uuid4(), 1, {TaskKind.FETCH: TaskCounts(completed=1, sample=(task.task_id,))})
    (point,) = points_of(await operator.overview(), "fetch")
    assert point.wait_max_seconds == pytest.approx(5, abs=0.01)


async def test_excerpts_of_today_are_added_by_reason(client: AsyncClient, operator: Operator) -> None:
    first = TaskCounts(completed=1, model_fallbacks={"busy": 2, "cut_off": 1})
    second = TaskCounts(completed=1, model_fallbacks={"busy": 3})
    for counts in (first, second, TaskCounts(completed=1)):
        worker = uuid4()
        for _ in range(2):
            await TaskStats(client).report(worker, 1, {TaskKind.DIGEST: counts, TaskKind.FETCH: TaskCounts()})
    fallbacks = (await operator.overview()).model_usage_today.fallbacks
    assert [(each.reason, each.items) for each in fallbacks] == [("busy", 5), ("cut_off", 1)]


async def test_statistics_of_a_week_are_kept_and_shown_in_few_steps(
    client: AsyncClient, operator: Operator, database: asyncpg.Connection
) -> None:
    """Also of a kind that no longer exists, and of minutes in the future that a wrong clock has left."""
    await database.execute(
        "insert into public.task_stats (minute, kind, completed, ready, input_tokens)"
        " select date_trunc('minute', now()) - make_interval(mins => m), kind, 1, m % 7, 2"
        " from generate_series(-90, 11000) m, unnest(array['fetch', 'digest', 'delivery', 'callback', 'teletype']) kind"
    )
    week = await operator.overview(hours=168)
    assert [each.kind for each in week.task_stats.kinds] == ["callback", "delivery", "digest", "fetch", "teletype"]
    points = points_of(week, "teletype")
    assert (len(points), points[0].at, week.task_stats.step_seconds) == (120, week.task_stats.since, 84 * 60)
    assert {each.completed for each in points[:-1]} == {84}
    assert points[-1].completed <= 84
    assert {each.ready for each in points[:-1]} == {6}
    assert [len(points_of(await operator.overview(hours=1), "fetch"))] == [120]
    since_midnight = "select ceil(extract(epoch from now() - date_trunc('day', now(), 'UTC')) / 60) * 5 * 2"
    assert abs(week.model_usage_today.input_tokens - int(await database.fetchval(since_midnight))) <= 10
    for number in range(1, 8):
        await TaskStats(client).report(uuid4(), number, {})
    old = "select count(*) from public.task_stats where minute < now() - interval '7 days'"
    assert await database.fetchval(old) == 0
    assert await database.fetchval("select count(*) from public.task_stats where minute < now()") == 7 * 1440 * 5


AT = datetime(2026, 3, 6, tzinfo=UTC)


async def test_a_kind_that_no_longer_exists_is_shown(operator: Operator, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 2)
    await database.execute("update public.queue set kind = 'teletype', dead_letter = true, error = 'no paper'")
    overview = await operator.overview()
    assert (kind_of(overview, "teletype").failed, len(overview.failed_tasks)) == (2, 2)


async def test_a_source_failing_for_a_complete_day_is_shown_as_failing(client: AsyncClient, operator: Operator) -> None:
    editions = Editions(client)
    fetches: list[dict[str, int | str]] = [{"arxiv": 7, "feed:x": 0}, {"arxiv": "503", "feed:x": 2}]
    for brought in fetches:
        errors = {name: each for name, each in brought.items() if isinstance(each, str)}
        await editions.begin_edition(DAY)
        readings = [
            Reading(name, AT, items=each) if isinstance(each, int) else Reading(name, AT, error=each)
            for name, each in brought.items()
        ]
        await editions.record_readings(DAY, uuid4(), AT, readings)
        await editions.finish_edition(DAY, EditionStatus.PARTIAL if errors else EditionStatus.COMPLETED, errors)
    assert (await editions.get_edition(DAY)).errors == {}
    arxiv, feed = (await operator.overview()).sources
    assert (arxiv.name, arxiv.items, arxiv.source_date, arxiv.error) == ("arxiv", 7, DAY, "503")
    assert arxiv.succeeded_at is not None
    assert arxiv.failed_at is not None
    assert arxiv.failed_at > arxiv.succeeded_at
    assert (feed.items, feed.failed_at, feed.error, feed.days) == (2, None, None, None)


async def test_articles_by_source_are_shown_by_day(operator: Operator, database: asyncpg.Connection) -> None:
    await database.execute(
        "insert into public.editions (source_date, status, counts) select (now() at time zone 'UTC')::date - n,"
        " 'completed', jsonb_build_object('arxiv', 10 + n) from generate_series(0, 8) n"
    )
    (arxiv,) = (await operator.overview()).sources
    assert (arxiv.succeeded_at, [day.items for day in arxiv.days or ()]) == (None, [16, 15, 14, 13, 12, 11, 10])


async def test_mails_readers_pauses_and_admins_actions_are_shown(
    stack: Ready, operator: Operator, database: asyncpg.Connection
) -> None:
    await database.execute(
        "insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, status)"
        " select gen_random_uuid(), 'ada', gen_random_uuid(), 'digest', current_date, status"
        " from unnest(array['sent', 'pending', 'in_doubt', 'in_doubt']) status;"
        "insert into public.readers (owner, external_id, name, status)"
        " values ('ada', '1', 'A', 'active'), ('ada', '2', 'B', 'active'), ('bot', '1', 'C', 'paused')"
    )
    async with callers_of(stack) as callers:
        root = callers.root
        shown = (await root.get("/v1/admin/overview", params={"hours": 168})).json()
        assert [shown["deliveries"][name] for name in ("paused", "pending", "sending", "in_doubt")] == [None, 1, 0, 2]
        assert [(each["owner"], each["status"], each["readers"]) for each in shown["readers"]] == [
            ("ada", "active", 2),
            ("bot", "paused", 1),
        ]
        doubt = shown["deliveries"]["latest_in_doubt"][0]["delivery_id"]
        for _ in range(2):
            assert (await root.post(f"/v1/deliveries/{doubt}/resolve", json={"status": "sent"})).status_code == 200
            await root.post("/v1/deliveries/pause", json={"reason": "a look first"})
        await root.post("/v1/admin/kinds/digest/pause", json={"reason": "the model is expensive"})
        paused = await operator.overview()
        assert paused.deliveries.paused == "root: a look first"
        assert [(each.kind, each.pause.reason) for each in paused.kinds if each.pause] == [
            ("digest", "the model is expensive")
        ]
        await root.post("/v1/deliveries/resume", json={"pending": "skip"})
        entries = (await root.get("/v1/admin/audit")).json()["entries"]
        *newest, resolved = entries
        actions = ["resume deliveries", "skip deliveries", "pause", "pause deliveries"]
        assert [entry["action"] for entry in newest] == actions
        assert resolved["action"] == "resolve"
        assert resolved["details"] == {"delivery_id": doubt, "from": "in_doubt", "to": "sent"}
        for hours in ("0", "169", "x"):
            assert (await root.get("/v1/admin/overview", params={"hours": hours})).status_code == 422
