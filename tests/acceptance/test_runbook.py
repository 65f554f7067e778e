"""Every line of the runbook, run by a shell against a running API."""

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.tasks import TaskKind
from app.persistence.outcomes import Failed
from app.persistence.tasks import TaskStateManager
from embedded.stack import Ready
from tests.support.processes import API_KEY, api_process, start_api
from tests.support.tasks import Claimer, create

RUNBOOK = (Path(__file__).parents[2] / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"^```sh\n(.*?)^```", RUNBOOK.partition("## Runbook")[2].partition("\n## ")[0], re.DOTALL | re.MULTILINE
)
LINES = [line for block in BLOCKS for line in block.splitlines()]


async def furnished(client: AsyncClient, database: asyncpg.Connection) -> dict[str, str]:
    """The tasks that the runbook's variables name: a waiting digest, a permanently failed fetch, a callback."""
    worker = Claimer(client, kinds=[TaskKind.FETCH])
    dead = [await create(client, callback_url="https://example.com/hook") for _ in range(2)]
    for claimed in await worker.claim():
        await worker.finish(claimed, Failed("broken", None))
    task = await create(client, kind=TaskKind.DIGEST)
    callback = await database.fetchval("select task_id::text from public.tasks where kind = 'callback' limit 1")
    return {"TASK": str(task.task_id), "DEAD": str(dead[0].task_id), "CALLBACK": callback}


async def shell(line: str, names: dict[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        "bash", "-euc", line, env={"PATH": os.environ["PATH"], "no_proxy": "*"} | names, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_every_command_of_the_runbook_runs(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection
) -> None:
    names = await furnished(client, database)
    api = api_process(stack, ADMINS="default")
    names |= {"API": await start_api(api), "KEY": API_KEY}
    assert len(LINES) >= 12
    for line in LINES:
        status, output = await shell(line, names)
        assert (status, output[:1]) == (0, "{"), line
    assert await api.stop() == 0
    tasks = TaskStateManager(client)
    found: Any = [(task.kind.value, task.status.value) for task in (await tasks.list_tasks()).tasks]
    assert sorted(found) == [("callback", "pending")] * 2 + [("digest", "cancelled")] + [("fetch", "pending")] * 2
    entries = await database.fetch("select action from public.audit order by created_at")
    assert [entry[0] for entry in entries] == ["replay", "replay all", "redeliver", "pause", "resume"]


async def test_admin_commands_without_an_admin_key_change_nothing(stack: Ready, client: AsyncClient) -> None:
    api = api_process(stack)
    names = {"API": await start_api(api), "KEY": API_KEY, "TASK": "x", "DEAD": str(TaskKind.FETCH), "CALLBACK": "x"}
    for line in LINES:
        if "/v1/admin" in line:
            status, _ = await shell(line, names)
            assert status == 22, line  # curl's exit status for 400 and above
    assert await api.stop() == 0
    assert (await TaskStateManager(client).list_tasks()).tasks == ()


@pytest.mark.parametrize("action", ["replay", "redeliver", "pause", "resume", "workers", "audit", "orphaned_tasks"])
def test_the_runbook_has_every_operator_action(action: str) -> None:
    assert any(action in line for line in LINES)
