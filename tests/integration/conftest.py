"""Fixtures that several rooms' tests share: scripted servers on loopback, and arXiv's recorded answers."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from embedded.postgres.project import prepare
from embedded.stack import Ready
from tests.integration.client.scripted_server import ScriptedServer, Step

REPOSITORY = Path(__file__).parents[2]
ReadFile = Callable[[str], bytes]


class Serve(Protocol):
    def __call__(self, *steps: Step) -> Awaitable[ScriptedServer]: ...


@pytest.fixture(scope="module")
def own_folder(stack_folder: Path) -> Path:
    """A folder for a stack of a file's own; another one if the file comes back to the same process of tests."""
    return stack_folder / uuid4().hex


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that answers its n-th request with the n-th step."""
    running: list[ScriptedServer] = []

    async def start(*steps: Step) -> ScriptedServer:
        running.append(ScriptedServer(*steps))
        await running[-1].start()
        return running[-1]

    yield start
    for server in running:
        await server.stop()


@pytest.fixture
def recorded() -> ReadFile:
    """Read one of arXiv's recorded answers, where the machine has them."""
    folder = Path(os.environ.get("BROADSHEET_SHARED", REPOSITORY.parent / "shared")) / "feeds"

    def read(name: str) -> bytes:
        if not (folder / name).is_file():
            pytest.skip(f"arXiv's recorded answers are not at {folder}; BROADSHEET_SHARED names another folder")
        return (folder / name).read_bytes()

    return read


@pytest.fixture
async def empty(stack: Ready) -> AsyncIterator[str]:
    """The address of a new project's database beside the emulator's."""
    name = f"empty_{uuid4().hex}"
    address = urlsplit(stack.database_url)
    cluster = await asyncpg.connect(stack.database_url)
    await cluster.execute(f"create database {name}")
    new = address._replace(path=f"/{name}").geturl()
    connection = await asyncpg.connect(new)
    await prepare(connection, str(address.password), safe_update=True)
    await connection.close()
    yield new
    await cluster.execute(f"drop database {name} with (force)")
    await cluster.close()
