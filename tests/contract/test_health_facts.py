"""Facts about the service that look like a problem and are none: what has ended, is not due yet, or is long ago."""

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.health import Health, HealthFacts
from tests.support.schedule import add_reader
from tests.support.tasks import insert_tasks


@pytest.fixture
def health(client: AsyncClient) -> Health:
    return Health(client)


def oldest(facts: HealthFacts) -> float | None:
    (fetches,) = [kind for kind in facts.kinds if kind.kind == "fetch"]
    return fetches.oldest_seconds


async def test_a_task_of_a_later_time_does_not_wait(health: Health, database: asyncpg.Connection) -> None:
    await insert_tasks(database, 1, delay="1 hour")
    assert oldest(await health.facts()) is None
    await insert_tasks(database, 1, delay="-1 minute")
    assert (oldest(await health.facts()) or 0) >= 60


async def test_a_source_that_works_again_is_not_failing(health: Health, database: asyncpg.Connection) -> None:
    await database.execute(
        "insert into public.sources (name, failed_at, succeeded_at, error)"
        " values ('broken', now(), now() - interval '1 hour', 'no'), ('works', now() - interval '1 hour', now(), 'no')"
    )
    found = {source.name: source for source in (await health.facts()).sources}
    assert found["broken"].failing_since is not None
    assert (found["works"].failing_since, found["works"].error) == (None, None)


async def test_attempts_are_counted_for_15_minutes(health: Health, database: asyncpg.Connection) -> None:
    await database.execute(
        "insert into public.task_stats (minute, kind, failed, model_calls)"
        " select now() - minutes * interval '1 minute', 'delivery', 1, 1 from unnest(array[1, 14, 16, 1440]) minutes"
    )
    facts = await health.facts()
    assert (facts.deliveries.failed, facts.model.calls) == (2, 2)


async def test_a_closed_circuit_breaker_blocks_no_model(health: Health, database: asyncpg.Connection) -> None:
    await database.execute("insert into public.circuit_breakers (name, reason) values ('model', 'HTTP 500')")
    assert (await health.facts()).model.blocked is None
    await database.execute("update public.circuit_breakers set state = 'open', retry_at = now()")
    assert (await health.facts()).model.blocked == "HTTP 500"


async def test_a_library_that_could_be_read_is_not_refused(
    client: AsyncClient, health: Health, database: asyncpg.Connection
) -> None:
    reader = await add_reader(client)
    await database.execute(
        "insert into public.reader_libraries (reader_id, library, collections) values ($1, 'users/1', '{}')",
        reader.reader_id,
    )
    assert (await health.facts()).refused_libraries == 0
