"""The operator's overview on the database: every part says what is there, in one call."""

import asyncpg
import pytest
from supabase import AsyncClient

from app.models import TaskKind
from app.persistence.operator import Operator
from app.persistence.outcomes import Failed
from app.persistence.overview import KindNow, Overview
from tests.contract.helpers import Claimer, create, insert_tasks


@pytest.fixture
def operator(client: AsyncClient) -> Operator:
    return Operator(client)


def kind_of(overview: Overview, kind: str) -> KindNow:
    (found,) = [each for each in overview.kinds if each.kind == kind]
    return found


async def test_an_empty_database_has_an_overview(operator: Operator) -> None:
    overview = await operator.overview()
    assert [kind.kind for kind in overview.kinds] == ["callback", "delivery", "digest", "fetch"]
    assert {(kind.ready, kind.running, kind.failed, kind.oldest_seconds) for kind in overview.kinds} == {
        (0, 0, 0, None)
    }
    assert (overview.workers, overview.failed, overview.sources, overview.minutes.kinds) == ((), (), (), ())
    assert (overview.deliveries.paused, overview.model_today.input_tokens) == (None, 0)


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
    assert (fetch.ready, fetch.later, fetch.running, fetch.failed) == (2, 2, 1, 1)
    assert (digest.ready, digest.oldest_seconds is not None and digest.oldest_seconds >= 90) == (4, True)
    (failed,) = overview.failed
    assert (failed.task_id, failed.owner, failed.error) == (dead.task_id, "ada", "arXiv is down")
    (seen,) = overview.workers
    assert (seen.worker_id, seen.in_hand) == (worker.worker_id, 1)
