"""The kinds of writers that run in pairs call every function of the database that the service calls and that writes."""

import ast
import random
import re
from pathlib import Path
from typing import Final

import asyncpg
from supabase import AsyncClient

from app.client.call import Call, Response
from app.client.factory import open_supabase
from app.client.transport import ErrorMappingTransport
from embedded.stack import Ready
from tests.contract.all_writers import ALL_WRITERS
from tests.contract.writers import Writing, furnish
from tests.support.stack_process import settings_for
from tests.support.tasks import READ_TIMEOUT

PERSISTENCE: Final = Path(__file__).parents[2] / "app/persistence"
VOLATILE: Final = (
    "select proname from pg_proc where pronamespace = 'public'::regnamespace and provolatile = 'v' and prokind = 'f'"
)
TABLE_WRITE: Final = re.compile(r'table\("(\w+)"\)\s*\.(update|delete|insert|upsert)\(')
METHODS: Final = {"update": "PATCH", "delete": "DELETE", "insert": "POST", "upsert": "POST"}


class RecordingTransport(ErrorMappingTransport):
    """Records what each request calls: a function, or a method and a table."""

    def __init__(self) -> None:
        super().__init__(20, read_timeout=READ_TIMEOUT)
        self.called: set[str] = set()

    async def send(self, call: Call) -> Response:
        *_, place, name = call.url.path.split("/")
        self.called.add(name if place == "rpc" else f"{call.method} {name}")
        return await super().send(call)


def written_names(volatile: set[str]) -> set[str]:
    """The names of volatile functions in the code of app/persistence, and its writes of tables."""
    found: set[str] = set()
    for path in PERSISTENCE.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        constants = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
        found |= {value for value in constants if isinstance(value, str) and value in volatile}
        found |= {f"{METHODS[method]} {table}" for table, method in TABLE_WRITE.findall(text)}
    return found


async def test_writers_call_every_function_that_writes(
    client: AsyncClient, stack: Ready, database: asyncpg.Connection
) -> None:
    names = written_names({row["proname"] for row in await database.fetch(VOLATILE)})
    assert {"sync_worker", "PATCH readers"} <= names
    transport = RecordingTransport()
    async with open_supabase(settings_for(stack), transport=transport) as recorded:
        for kind, write in ALL_WRITERS.items():
            running_tasks = await furnish(client, database)
            await write(Writing(recorded, random.Random(kind), running_tasks))
    assert names - transport.called == set()
