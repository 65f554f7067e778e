"""The release command of fly.toml passes on the required schema and stops a deploy without it."""

import asyncio
import os
import shlex
import sys
import tomllib
from pathlib import Path

from app.persistence.schema import NEEDED_VERSION
from embedded.stack import Ready
from tests.support.scripted_server import ScriptedServer, answer

ROOT = Path(__file__).parents[2]


async def release(url: str, key: str) -> tuple[int | None, str]:
    """Run the release command with a deployment's secrets; returns the exit status and the schema's line."""
    fly = tomllib.loads((ROOT / "fly.toml").read_text(encoding="utf-8"))
    _, *arguments = shlex.split(fly["deploy"]["release_command"])
    environment = {"PATH": os.environ["PATH"], "SUPABASE_URL": url, "SUPABASE_KEY": key, "SUPABASE_RETRIES": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    (line,) = [line for line in output.decode().splitlines() if " schema " in line]
    return process.returncode, line


async def test_a_migrated_database_passes_the_release_check(stack: Ready) -> None:
    status, line = await release(stack.url, stack.secret_key)
    assert (status, line.split()[:2]) == (0, ["ok", "schema"])


async def test_a_deploy_before_its_migration_fails() -> None:
    server = ScriptedServer(answer(200, NEEDED_VERSION - 1))
    await server.start()
    status, line = await release(server.url, "sb_secret_x")
    await server.stop()
    assert (status, line.split()[:2]) == (1, ["FAIL", "schema"])
    assert "supabase db push" in line
