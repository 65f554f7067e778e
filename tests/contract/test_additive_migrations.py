"""A migration that adds to the schema breaks no running code: responses may have fields that the code does not know."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from app.api.models import DigestView
from app.client.call import Call, Response
from app.client.factory import open_supabase
from app.client.transport import ErrorMappingTransport
from app.models.tasks import Task
from app.persistence.digests import StoredDigest
from embedded.stack import Ready
from tests.contract.write_scenarios import ONCE, SCENARIOS
from tests.support.database_reset import database_reset
from tests.support.schema_cache import schema_is_read
from tests.support.stack_process import settings_for
from tests.support.tasks import READ_TIMEOUT

FREE = frozenset({"payload", "result", "value", "counts", "errors", "not_configured", "kept"})
"""Fields with arbitrary content."""


class AddingTransport(ErrorMappingTransport):
    """Adds an unknown field to every row of every response, as a later schema would."""

    def __init__(self) -> None:
        super().__init__(20, read_timeout=READ_TIMEOUT)
        self.added = 0

    async def send(self, call: Call) -> Response:
        response = await super().send(call)
        if not response.content:
            return response
        return replace(response, content=json.dumps(self._widened(response.json())).encode())

    def _widened(self, value: Any) -> Any:
        match value:
            case dict():
                self.added += 1
                inner = {name: part if name in FREE else self._widened(part) for name, part in value.items()}
                return inner | {"a_field_of_tomorrow": {"x": 1}}
            case list():
                return [self._widened(part) for part in value]
            case _:
                return value


@pytest.fixture
async def tables_with_more(database: asyncpg.Connection, stack: Ready) -> AsyncIterator[None]:
    """Every table, with one more column than the code knows."""
    rows = await database.fetch("select tablename from pg_tables where schemaname = 'public'")
    tables = [str(row["tablename"]) for row in rows]
    for table in tables:
        await database.execute(f"alter table public.{table} add column a_column_of_tomorrow text default 'x'")
    yield
    for table in tables:
        await database.execute(f"alter table public.{table} drop column a_column_of_tomorrow")
    # The next test's requests would be answered with the columns of this one.
    await schema_is_read(database, f"{stack.url}/rest/v1")


async def test_an_unknown_column_breaks_nothing(
    client: AsyncClient,
    database: asyncpg.Connection,
    tables_with_more: None,  # noqa: ARG001  (widened)
) -> None:
    for name in ONCE:
        await SCENARIOS[name](client, 1)
        await database_reset(database)


@pytest.mark.parametrize("name", ONCE)
async def test_an_unknown_field_breaks_nothing(
    name: str,
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
) -> None:
    transport = AddingTransport()
    async with open_supabase(settings_for(stack), transport=transport) as client:
        await SCENARIOS[name](client, 1)
    assert transport.added > 0 or name.startswith(("HybridCache", "DistributedRateLimiter", "WorkerConfiguration"))


def test_a_digest_written_by_a_newer_worker_can_be_read() -> None:
    profile = {"name": "Ada", "languages": ["en"]}
    digest = {
        "source_date": "2026-03-04",
        "profile": profile,
        "introduction": "",
        "papers": [],
        "news": [],
        "considered": 0,
        "edition_status": "completed",
        "reading_minutes": 5,
    }
    moment = "2026-03-05T00:00:00Z"
    row = {
        "task_id": "00000000-0000-4000-8000-00000000000a",
        "kind": "digest",
        "status": "completed",
        "run_at": moment,
        "max_attempts": 5,
        "created_at": moment,
        "updated_at": moment,
        "source_date": "2026-03-04",
    }
    shown = DigestView.with_digest(Task.model_validate(row), StoredDigest(digest=digest).read()).digest
    assert shown is not None
    assert shown.profile.name == "Ada"
