"""A day of which no source could be read is not an empty day: how long its digests wait, and what they then contain."""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.digest.analysis import ExtractiveAnalyst
from app.digest.scheduled import FetchRunning, PermanentWaits, ScheduledDigest, ScheduledDigests
from app.digest.service import DigestService, EditionPending
from app.models.articles import EditionStatus
from app.models.digests import Digest
from app.models.profiles import Profile
from app.models.tasks import TaskKind
from app.persistence.editions import Editions, Reading
from app.persistence.items import Items
from app.persistence.outcomes import Completed, Failed, Snoozed
from app.persistence.tasks import TaskStateManager
from app.ranking.ranking import RankingSettings
from tests.contract.scripted_sources import quiet
from tests.support.items import TODAY
from tests.support.schedule import Clock, add_reader
from tests.support.tasks import Claimer, create

DAY, LOCAL_DAY = TODAY - timedelta(days=1), TODAY
COMPLETE_FROM = datetime.combine(TODAY + timedelta(days=1), time(5), UTC)
LONGEST, HOUR = timedelta(hours=6), timedelta(hours=1)
ADA = Profile(name="Ada", interests=("radar",))
DOWN = "HTTP 503 from export.arxiv.org at 07:12 UTC"


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), UTC)


class Reader:
    """A reader in UTC+1 and today's digest, which covers the day before."""

    def __init__(self, client: AsyncClient, reader_id: UUID, task_id: UUID) -> None:
        self._client = client
        self._reader_id = reader_id
        self._task_id = task_id

    async def write(self, waited: timedelta = timedelta(0)) -> Digest:
        items, tasks = Items(self._client), TaskStateManager(self._client)
        digests = ScheduledDigests(items, tasks, ExtractiveAnalyst(), PermanentWaits(LONGEST))
        due = ScheduledDigest(self._task_id, self._reader_id, LOCAL_DAY, DAY, waited)
        return await digests.write(due, ADA, RankingSettings(), quiet)

    async def left(self, waited: timedelta) -> timedelta:
        news = await Items(self._client).new_items_for(self._reader_id, DAY, LOCAL_DAY)
        assert news.unread
        return min(PermanentWaits(LONGEST).for_any_source(waited), news.day_left)


@pytest.fixture
async def reader(client: AsyncClient, clock: Clock, database: asyncpg.Connection) -> Reader:
    await clock.set(at(LOCAL_DAY, 7))
    reader = await add_reader(client, email="ada@example.org", timezone="Etc/GMT-1")
    task = await create(client, kind=TaskKind.DIGEST, source_date=DAY)
    columns = "reader_id = $2, local_day = $3"
    await database.execute(
        f"update public.tasks set {columns} where task_id = $1", task.task_id, reader.reader_id, LOCAL_DAY
    )
    return Reader(client, reader.reader_id, task.task_id)


async def record(client: AsyncClient, *readings: Reading, status: EditionStatus) -> None:
    editions = Editions(client)
    await editions.begin_edition(DAY)
    await editions.record_readings(DAY, uuid4(), COMPLETE_FROM, readings)
    errors = {reading.source: reading.error for reading in readings if reading.error is not None}
    await editions.finish_edition(DAY, status, errors, [reading.source for reading in readings])


async def test_a_digest_of_an_unread_day_requests_its_fetch(reader: Reader, client: AsyncClient) -> None:
    with pytest.raises(FetchRunning, match=f"waiting for the first source of {DAY}") as waiting:
        await reader.write()
    fetch = await TaskStateManager(client).ensure_fetch(DAY)
    assert (waiting.value.fetch_id, fetch.priority, waiting.value.max_wait) == (fetch.task_id, 0, LONGEST)


async def test_a_digest_waits_for_a_snoozed_fetch_with_a_reason(reader: Reader, client: AsyncClient) -> None:
    fetch, worker = await TaskStateManager(client).ensure_fetch(DAY), Claimer(client, kinds=[TaskKind.FETCH])
    await record(client, Reading("arxiv", COMPLETE_FROM, error=DOWN), status=EditionStatus.FETCHING)
    await worker.finish(await worker.claim_one(), Snoozed(HOUR, f"arxiv: {DOWN}, will be retried in 24 s"))
    with pytest.raises(FetchRunning, match=f": arxiv: {DOWN}, will be retried in 24 s$") as waiting:
        await reader.write(HOUR)
    assert (waiting.value.fetch_id, waiting.value.max_wait) == (fetch.task_id, 5 * HOUR)


async def test_the_wait_ends_after_the_set_time(reader: Reader, client: AsyncClient) -> None:
    await record(client, Reading("arxiv", COMPLETE_FROM, error=DOWN), status=EditionStatus.FETCHING)
    digest = await reader.write(LONGEST)
    assert digest.edition_status is EditionStatus.FAILED
    assert digest.source_errors == {"arxiv": f"could not be read for {DAY.day} {DAY:%B}"}
    assert digest.introduction == "No source could be read, so new items may be missing."


async def test_the_wait_ends_with_the_readers_local_day(reader: Reader, clock: Clock) -> None:
    await clock.set(at(LOCAL_DAY, 22, 30))
    assert await reader.left(timedelta(0)) == timedelta(minutes=30), "the reader has 23:30"
    await clock.set(at(LOCAL_DAY, 23))
    assert await reader.left(timedelta(0)) == timedelta(0)
    assert (await reader.write()).edition_status is EditionStatus.FAILED


async def test_the_wait_ends_when_the_fetch_has_failed(reader: Reader, client: AsyncClient) -> None:
    with pytest.raises(FetchRunning):
        await reader.write()
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    await worker.finish(await worker.claim_one(), Failed("broken", None))
    assert (await reader.write()).edition_status is EditionStatus.FAILED


async def test_one_source_that_was_read_ends_the_wait(
    reader: Reader, client: AsyncClient, database: asyncpg.Connection
) -> None:
    feed, arxiv = Reading("feed:x", COMPLETE_FROM, items=0), Reading("arxiv", COMPLETE_FROM, error=DOWN)
    await record(client, feed, arxiv, status=EditionStatus.FETCHING)
    with pytest.raises(FetchRunning):
        await reader.write()  # other sources may recover too
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    await worker.finish(await worker.claim_one(), Snoozed(HOUR, "arxiv is away"))
    await database.execute("update public.edition_sources set read_at = read_at - interval '121 seconds' where true")
    digest = await reader.write()
    assert (digest.edition_status, list(digest.source_errors)) == (EditionStatus.PARTIAL, ["arxiv"])
    assert digest.introduction.startswith("Nothing to report yet: no source that could be read had an item")


async def test_a_read_day_without_items_is_reported_as_completed(reader: Reader, client: AsyncClient) -> None:
    await record(client, Reading("arxiv", COMPLETE_FROM, items=0), status=EditionStatus.COMPLETED)
    digest = await reader.write()
    assert (digest.edition_status, digest.source_errors) == (EditionStatus.COMPLETED, {})


async def test_a_digest_waits_ten_minutes_to_refresh_a_day(client: AsyncClient, clock: Clock) -> None:
    await clock.set(at(DAY, 12))
    too_early = Reading("arxiv", COMPLETE_FROM + HOUR, items=0)
    await record(client, too_early, status=EditionStatus.COMPLETED)
    await clock.set(at(DAY, 14))
    task = await create(client, kind=TaskKind.DIGEST, source_date=DAY)
    tasks = TaskStateManager(client)
    service = DigestService(Editions(client), tasks, ExtractiveAnalyst())

    async def write(minutes: int) -> Digest:
        waited = timedelta(minutes=minutes)
        return await service.write(task.task_id, DAY, ADA, RankingSettings(), quiet, waited=waited)

    for minutes in (0, 9):
        with pytest.raises(EditionPending):
            await write(minutes)
    assert (await write(10)).edition_status is EditionStatus.COMPLETED
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    await worker.finish(await worker.claim_one(), Completed({}))
    assert (await write(1)).edition_status is EditionStatus.COMPLETED, "its fetch has ended"
