"""While the server does not respond, no method of any class blocks the event loop or starts a thread."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.models.articles import Article, ArticleKind, EditionStatus
from app.models.tasks import TaskKind
from app.persistence.cache import HybridCache
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.digests import Digests
from app.persistence.editions import Editions
from app.persistence.ended_sessions import EndedSessions
from app.persistence.items import Items
from app.persistence.maintenance import Maintenance
from app.persistence.new_task import NewTask
from app.persistence.operator import Actor, Operator
from app.persistence.queue import TaskQueue
from app.persistence.reader_papers import OutdatedPaper, PaperInput, ReaderPapers
from app.persistence.schema import Schema
from app.persistence.task_stats import TaskCounts, TaskStats
from app.persistence.tasks import TaskStateManager
from tests.support.scripted_server import ScriptedServer, stall
from tests.support.tasks import DAY, LEASE

TASK = UUID("00000000-0000-4000-8000-00000000000a")
TICKS = 50
OUTDATED = OutdatedPaper(paper_id=TASK, title="T", abstract="", text_hash="h")
ARTICLE = Article(source="arxiv", external_id="1", kind=ArticleKind.PAPER, title="T")

Owner = (
    TaskStateManager
    | TaskQueue
    | Digests
    | Editions
    | EndedSessions
    | Items
    | HybridCache
    | CircuitBreakers
    | Maintenance
    | TaskStats
    | Schema
    | Operator
    | ReaderPapers
)
OWNERS: dict[type[Owner], Callable[[AsyncClient], Owner]] = {
    TaskStateManager: TaskStateManager,
    TaskQueue: lambda client: TaskQueue(client, worker_id=TASK, kinds=list(TaskKind), lease=LEASE),
    Digests: Digests,
    Editions: Editions,
    EndedSessions: EndedSessions,
    Items: Items,
    HybridCache: HybridCache,
    CircuitBreakers: CircuitBreakers,
    Maintenance: Maintenance,
    TaskStats: TaskStats,
    Schema: Schema,
    Operator: Operator,
    ReaderPapers: ReaderPapers,
}


ARGUMENTS: dict[str, dict[str, Any]] = {
    "task_id": {"task_id": TASK},
    "kind": {"kind": TaskKind.FETCH},
    "cause": {"cause": "timed out"},
    "payload": {"payload": {}},
    "tasks": {"tasks": [NewTask(TASK, TaskKind.FETCH, {}, DAY)]},
    "source_date": {"source_date": DAY},
    "waiting": {"waiting": TASK},
    "begun_at": {"begun_at": datetime(2026, 11, 24, tzinfo=UTC)},
    "readings": {"readings": []},
    "lease_token": {"lease_token": TASK},
    "message": {"message": "m"},
    "progress": {"progress": 0.5},
    "articles": {"articles": [ARTICLE]},
    "status": {"status": EditionStatus.COMPLETED},
    "errors": {"errors": {}},
    "session_id": {"session_id": "one"},
    "ttl": {"ttl": timedelta(hours=1)},
    "key": {"key": "k"},
    "value": {"value": 1},
    "name": {"name": "arxiv"},
    "reader_id": {"reader_id": TASK},
    "paper_id": {"paper_id": TASK},
    "paper": {"paper": PaperInput(keys=("doi:x",))},
    "feedback": {"feedback": [(PaperInput(keys=("doi:x",)), {"liked": True})]},
    "limit": {"limit": 1},
    "ids": {"ids": ["2611.00001"]},
    "found": {"found": []},
    "liked": {"liked": True},
    "saved": {"saved": True},
    "items": {"items": [["doi:x"]]},
    "day": {"day": DAY},
    "keys": {"keys": ["doi:x"]},
    "by": {"by": Actor(TASK, "root")},
    "reason": {"reason": "because"},
    "task_days": {"task_days": 1},
    "edition_days": {"edition_days": 1},
    "digest_days": {"digest_days": 1},
    "delivery_days": {"delivery_days": 90},
    "audit_days": {"audit_days": 365},
    "local_day": {"local_day": DAY},
    "text": {"text": "graphs"},
    "worker_id": {"worker_id": TASK},
    "number": {"number": 1},
    "mark": {"mark": "2:"},
    "vectors": {"vectors": {OUTDATED: "2:AAAA"}},
    "ended": {"ended": {TaskKind.FETCH: TaskCounts()}},
}


def public_methods() -> list[tuple[type[Owner], str]]:
    """Collected from the classes, so that new methods are included."""
    return [
        (owner, name)
        for owner in OWNERS
        for name, method in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_") and (inspect.iscoroutinefunction(method) or hasattr(method, "__wrapped__"))
    ]


async def call(owner: Owner, name: str) -> None:
    method = getattr(owner, name)
    required = [p for p in inspect.signature(method).parameters.values() if p.default is inspect.Parameter.empty]
    if isinstance(owner, TaskQueue):
        await owner.sync(owner.prepare(outcomes={}, slots=1))
        return
    arguments: dict[str, Any] = {}
    for parameter in required:
        arguments |= ARGUMENTS[parameter.name]
    result = method(**arguments)
    if isinstance(result, Coroutine):
        await result
    else:
        async with result:
            pass


@pytest.fixture
async def silent_client() -> AsyncIterator[AsyncClient]:
    """A client of a server that reads every request and never responds."""
    server = ScriptedServer(stall)
    await server.start()
    settings = SupabaseSettings.model_validate({"supabase_url": server.url, "supabase_key": "sb_secret_x"})
    async with open_supabase(settings) as client:
        yield client
    await server.stop()


@pytest.mark.parametrize(("owner", "name"), public_methods(), ids=lambda value: getattr(value, "__name__", value))
async def test_a_waiting_call_does_not_block_the_event_loop(
    owner: type[Owner], name: str, silent_client: AsyncClient
) -> None:
    threads = threading.active_count()
    waiting = asyncio.create_task(call(OWNERS[owner](silent_client), name))
    for _ in range(TICKS):
        await asyncio.sleep(0.001)
    assert not waiting.done(), "it did not wait for its response"
    assert threading.active_count() == threads
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
