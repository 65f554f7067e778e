"""Each persistence method, called as the tests of repeated writes and of additive migrations need it."""

from datetime import UTC, datetime, timedelta

import pytest
from supabase import AsyncClient

from app.errors import DigestNotFound, IdempotencyConflict
from app.models.articles import Article, ArticleKind, EditionStatus
from app.models.tasks import TaskKind
from app.persistence.cache import HybridCache
from app.persistence.circuit_breaker import BreakerSettings, CircuitBreakers
from app.persistence.deliveries import Deliveries, DeliveryStatus, Send
from app.persistence.digests import Digests
from app.persistence.editions import Editions, Reading
from app.persistence.idempotency_keys import CallerKey
from app.persistence.items import Items
from app.persistence.maintenance import Maintenance
from app.persistence.new_task import NewTask
from app.persistence.outcomes import Cancelled, Completed, Failed, Released, Snoozed
from app.persistence.queue import Progress, TaskQueue
from app.persistence.rate_limits import DistributedRateLimiter
from app.persistence.readers import Reader, Readers, ReaderStatus
from app.persistence.readers_file import FileEntry, ReadersFile
from app.persistence.schedule import Schedule
from app.persistence.tasks import TaskStateManager
from app.persistence.watched_tasks import UNKNOWN, WatchedTasks
from app.persistence.worker_configuration import WorkerConfiguration
from tests.contract import (  # noqa: F401  (they register their own)
    confirmation_scenarios,
    import_scenarios,
    library_scenarios,
    operator_scenarios,
    own_data_scenarios,
    paper_scenarios,
)
from tests.contract.scenarios import OTHER, REGISTERED, TASK, WORKER, claimed, scenario, send
from tests.support.schedule import add_reader, write_digests
from tests.support.tasks import DAY, LEASE, create, verdict

ARTICLES = [Article(source="arxiv", external_id=str(n), kind=ArticleKind.PAPER, title=f"T{n}") for n in range(3)]
SCENARIOS = REGISTERED
"""The scenario of each method; most scenarios call several methods."""


@scenario(*(f"TaskStateManager.{name}" for name in ("create_task_with_source_date", "get_task", "list_tasks")))
async def creating(client: AsyncClient, times: int) -> None:
    tasks = TaskStateManager(client)
    for _ in range(times):
        made = await create(client, task_id=TASK, idempotency_key=CallerKey("k"), payload={"a": 1})
        assert (await tasks.get_task(TASK)).task_id == made.task_id == TASK
        assert len((await tasks.list_tasks()).tasks) == 1
        with pytest.raises(IdempotencyConflict):
            await create(client, task_id=OTHER, idempotency_key=CallerKey("k"), payload={"a": 2})


@scenario("TaskStateManager.create_tasks")
async def creating_many(client: AsyncClient, times: int) -> None:
    batch = [
        NewTask(task_id, TaskKind.FETCH, {}, DAY, key=CallerKey("k", place=n))
        for n, task_id in enumerate([TASK, OTHER])
    ]
    for _ in range(times):
        assert [task.task_id for task in await TaskStateManager(client).create_tasks(batch)] == [TASK, OTHER]


@scenario("WorkerConfiguration.report")
async def reporting_the_configuration(client: AsyncClient, times: int) -> None:
    for _ in range(times):
        await WorkerConfiguration(client).report(WORKER, {"MAIL_URL": "no mails"}, ["arxiv"])


@scenario("TaskStateManager.ensure_fetch")
async def ensuring(client: AsyncClient, times: int) -> None:
    made = [await TaskStateManager(client).ensure_fetch(DAY) for _ in range(times)]
    assert all(task == made[0] for task in made)


@scenario("TaskStateManager.refresh_fetch")
async def refreshing(client: AsyncClient, times: int) -> None:
    made = [await TaskStateManager(client).refresh_fetch(DAY, waiting=OTHER) for _ in range(times)]
    assert made[0] is not None
    assert all(task == made[0] for task in made)


@scenario("TaskStateManager.update_task")
async def reporting(client: AsyncClient, times: int) -> None:
    await create(client, task_id=TASK)
    _, lease = await claimed(client)
    for _ in range(times):
        await TaskStateManager(client).update_task(TASK, lease_token=lease.lease_token, message="half", progress=0.5)


@scenario("TaskStateManager.cancel_task")
async def cancelling(client: AsyncClient, times: int) -> None:
    await create(client, task_id=TASK, callback_url="https://example.com/")
    for _ in range(times):
        await TaskStateManager(client).cancel_task(TASK)


@scenario("TaskQueue.sync", "TaskQueue.sync completed")
async def completing(client: AsyncClient, times: int) -> None:
    await create(client, task_id=TASK, callback_url="https://example.com/")
    queue, lease = await claimed(client, times)
    await send(queue, queue.prepare(outcomes={lease: Completed({"x": 1})}, slots=0), times)
    # Also under a new call number, because the row stores its outcome.
    answer = await send(queue, queue.prepare(outcomes={lease: Completed({"x": 2})}, slots=0), times)
    assert verdict(answer) == "applied_already"


@scenario("TaskQueue.sync failed")
async def failing(client: AsyncClient, times: int) -> None:
    await create(client, task_id=TASK)
    queue, lease = await claimed(client, times)
    failed = Failed("broken", timedelta(hours=1))
    await send(queue, queue.prepare(outcomes={lease: failed}, slots=0), times)
    await send(queue, queue.prepare(outcomes={lease: failed}, slots=0), times)


@scenario("TaskQueue.sync snoozed")
async def snoozing(client: AsyncClient, times: int) -> None:
    await create(client, task_id=TASK)
    queue, lease = await claimed(client, times)
    later = Snoozed(timedelta(hours=1), "waiting")
    await send(queue, queue.prepare(outcomes={lease: later}, slots=0), times)
    await send(queue, queue.prepare(outcomes={lease: later}, slots=0), times)


@scenario("TaskQueue.sync released")
async def releasing(client: AsyncClient, times: int) -> None:
    await create(client, task_id=TASK)
    queue, lease = await claimed(client, times)
    await send(queue, queue.prepare(outcomes={lease: Released()}, slots=0), times)
    await send(queue, queue.prepare(outcomes={lease: Released()}, slots=0), times)


@scenario("TaskQueue.sync cancelled", "TaskQueue.sync progress")
async def stopping(client: AsyncClient, times: int) -> None:
    await create(client, task_id=TASK)
    queue, lease = await claimed(client, times)
    await TaskStateManager(client).cancel_task(TASK)
    answer = await send(queue, queue.prepare(outcomes={}, progress={lease: Progress("half", 0.5)}, slots=0), times)
    assert [claimed_task.task_id for claimed_task in answer.cancel] == [TASK]
    await send(queue, queue.prepare(outcomes={lease: Cancelled()}, slots=0), times)


COMPLETE_FROM = datetime(2026, 3, 6, 5, tzinfo=UTC)
EDITIONS = ("begin_edition", "plan_fetch", "save_articles", "record_readings", "finish_edition", "get_edition")


@scenario(*(f"Editions.{name}" for name in EDITIONS))
async def gathering(client: AsyncClient, times: int) -> None:
    daily = Editions(client)
    for _ in range(times):
        await daily.begin_edition(DAY)
    for _ in range(times):
        await daily.save_articles(DAY, ARTICLES)
    for _ in range(times):
        assert (await daily.plan_fetch(DAY, TASK)).kept == {}
    readings = [Reading("arxiv", COMPLETE_FROM, items=3), Reading("feed:x", COMPLETE_FROM, error="timed out")]
    for _ in range(times):
        await daily.record_readings(DAY, TASK, COMPLETE_FROM, readings)
    for _ in range(times):
        await daily.finish_edition(DAY, EditionStatus.PARTIAL, {"feed:x": "timed out"})
    assert (await daily.get_edition(DAY)).counts == {"arxiv": 3}


@scenario("Editions.list_editions", "Editions.get_articles")
async def reading(client: AsyncClient, times: int) -> None:
    await gathering(client, 1)
    for _ in range(times):
        assert [edition.source_date for edition in await Editions(client).list_editions()] == [DAY]
        assert await Editions(client).get_articles(DAY) == ARTICLES


@scenario("Items.new_items_for", "Items.first_seen_on", "Items.find_by_keys")
async def showing(client: AsyncClient, times: int) -> None:
    await gathering(client, 1)
    items = Items(client)
    (day,) = (await items.new_items_for(OTHER)).days
    assert day.items == len(ARTICLES)
    for _ in range(times):
        assert await items.first_seen_on(day.day) == [], "of an old edition"
        assert await items.find_by_keys(["doi:10.1000/x"]) == {}


@scenario("HybridCache.put", "HybridCache.get")
async def caching(client: AsyncClient, times: int) -> None:
    for _ in range(times):
        await HybridCache(client).put("k", {"v": 1})
        assert await HybridCache(client).get("k") == {"v": 1}


@scenario("CircuitBreakers.guard", "CircuitBreakers.states")
async def breaking(client: AsyncClient, times: int) -> None:
    # A guard's report is one request, which the transport repeats, so `times` is not used here.
    assert times
    breakers = CircuitBreakers(client, BreakerSettings(threshold=3))
    for _ in range(2):
        with pytest.raises(ValueError, match="down"):
            async with breakers.guard("arxiv"):
                raise ValueError("down")
    (state,) = await breakers.states()
    assert (state.state, state.failures) == ("closed", 2)


@scenario("Maintenance.retain", "Maintenance.prune_records", "Maintenance.queue_stats")
async def retaining(client: AsyncClient, times: int) -> None:
    await gathering(client, 1)
    for _ in range(times):
        await Maintenance(client).retain(task_days=1, edition_days=1)
        await Maintenance(client).prune_records(delivery_days=30, audit_days=365)
        assert (await Maintenance(client).queue_stats()).depth == ()


@scenario(
    *(f"Digests.{name}" for name in ("get", "for_day", "list_days", "search", "newest_digest", "newest_items")),
    "Maintenance.retain_digests",
)
async def archiving(client: AsyncClient, times: int) -> None:
    await due_reader(client)
    await Schedule(client).enqueue_due()
    await write_digests(client, "T")
    digests = Digests(client)
    for _ in range(times):
        (day,) = await digests.list_days(TASK)
        assert (day.papers, day.news) == (1, 0)
        assert await digests.search(TASK, "graphs") == []
        assert (await digests.for_day(TASK, day.local_day)).digest["keys"] == ["title:t"]
        assert await digests.newest_digest(TASK) is not None
        assert await digests.newest_items(TASK) == [], "a title alone does not identify an item"
        with pytest.raises(DigestNotFound):
            await digests.get(TASK)
        assert await Maintenance(client).retain_digests(digest_days=1) == 0


@scenario("DistributedRateLimiter.acquire", "DistributedRateLimiter.release")
async def taking_turns(client: AsyncClient, times: int) -> None:
    turns = DistributedRateLimiter(client)
    for _ in range(times):
        assert await turns.acquire("arxiv", TASK, interval=60, hold=60) == 0
    for _ in range(times):
        await turns.release("arxiv", TASK, pause=30)
    assert await turns.acquire("arxiv", OTHER, interval=60, hold=60) > 0


@scenario("WatchedTasks.changes")
async def watching(client: AsyncClient, times: int) -> None:
    await create(client, task_id=TASK)
    for _ in range(times):
        changes = await WatchedTasks(client).changes({TASK: UNKNOWN, OTHER: UNKNOWN})
        assert ([change.task.task_id for change in changes.changed], changes.gone) == ([TASK], [OTHER])


async def due_reader(client: AsyncClient) -> Reader:
    """A reader who gets mails and is due."""
    made = await add_reader(client, reader_id=str(TASK), external_id="ada", email="ada@example.org")
    assert made.next_due_at is not None
    # The schedule's trigger does not depend on this column.
    due = {"next_due_at": (made.next_due_at - timedelta(days=1)).isoformat()}
    await client.table("readers").update(due).eq("reader_id", str(TASK)).execute()
    return made


READERS = (
    "create",
    "import_readers",
    "get",
    "change",
    "page",
    "list_page",
    "link_generation",
    "revoke_links",
    "change_status",
)


@scenario(*(f"Readers.{name}" for name in READERS))
async def keeping_readers(client: AsyncClient, times: int) -> None:
    readers = Readers(client)
    for _ in range(times):
        await add_reader(client, reader_id=str(TASK), external_id="ada", name="Ada", welcome=True, email="a@b.org")
    for _ in range(times):
        (put,) = await readers.import_readers("default", [{"reader_id": str(OTHER), "external_id": "ada", "name": "B"}])
        assert put.reader_id == TASK
    for _ in range(times):
        await readers.change(TASK, {"send_at": "09:00", "profile": {"interests": ["x"]}})
    for _ in range(times):
        moved = await readers.change_status(TASK, ReaderStatus.PAUSED, "a while", from_statuses={ReaderStatus.ACTIVE})
        assert moved.status is ReaderStatus.PAUSED
    for _ in range(times):
        await readers.revoke_links(TASK, 1)
    assert await readers.link_generation(TASK) == 2
    page = await readers.list_page("default")
    assert page.next_cursor is None
    assert list(page.readers) == await readers.page("default")
    assert [found.name for found in page.readers] == [(await readers.get(TASK)).name] == ["B"]


@scenario("ReadersFile.apply", "ReadersFile.missing")
async def applying_a_readers_file(client: AsyncClient, times: int) -> None:
    await due_reader(client)
    readers_file = ReadersFile(client)
    for _ in range(times):
        entry = FileEntry("ada", {"name": "Countess", "profile": {"interests": ["looms"]}})
        (result,) = await readers_file.apply("default", [entry], {"profile": {}})
        assert result.reader_id == TASK
    for _ in range(times):
        await readers_file.missing("default", ["bob"], pause=True)
    (reader,) = await Readers(client).page("default")
    assert (reader.name, reader.profile.interests, reader.status) == ("Countess", ("looms",), "paused")


@scenario("Readers.remove", "Schedule.enqueue_due")
async def removing_readers(client: AsyncClient, times: int) -> None:
    await due_reader(client)
    for _ in range(times):
        await Schedule(client).enqueue_due()
    assert len((await TaskStateManager(client).list_tasks()).tasks) == 1
    for _ in range(times):
        await Readers(client).remove(TASK, "default")
    assert (await TaskStateManager(client).list_tasks()).tasks == ()


DELIVERIES = ("begin", "end", "get", "page", "record_bounce", "resolve", "paused", "pause", "resume")


@scenario(*(f"Deliveries.{name}" for name in DELIVERIES))
async def delivering(client: AsyncClient, times: int) -> None:
    await due_reader(client)
    await Schedule(client).enqueue_due()
    await write_digests(client, "T")
    deliveries = Deliveries(client)
    queue = TaskQueue(client, worker_id=WORKER, kinds=[TaskKind.DELIVERY], lease=LEASE)
    lease = (await queue.sync(queue.prepare(outcomes={}, slots=1))).claimed[0].lease
    (delivery,) = (await deliveries.page(None)).deliveries
    for _ in range(times):
        assert isinstance(
            await deliveries.begin(delivery.delivery_id, lease, repeatable_within=None, sender_id="smtp:1"), Send
        )
    for _ in range(times):
        assert await deliveries.end(delivery.delivery_id, lease, DeliveryStatus.IN_DOUBT, provider_id="p")
    for _ in range(times):
        await deliveries.resolve(delivery.delivery_id, DeliveryStatus.SENT, by="ada")
    for _ in range(times):
        await deliveries.record_bounce(["p@example.org"], "gone", complaint=False)
    for _ in range(times):
        await deliveries.pause("why", by="ada")
    assert await deliveries.paused() is not None
    for _ in range(times):
        await deliveries.resume(by="ada", skip_pending=True)
    assert await deliveries.paused() is None
    assert (await deliveries.get(delivery.delivery_id)).status is DeliveryStatus.SENT


ONCE = list({scenario: name for name, scenario in reversed(SCENARIOS.items())}.values())
"""Each scenario once, by the first of its methods."""
