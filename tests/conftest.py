"""Fixtures for every kind of test: the embedded stack, started once for the whole run, and clients of it."""

import os
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import certifi
import pytest
import trustme
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import ApiSettings, SupabaseSettings, WorkerSettings
from app.gc_freeze import freeze_loaded_objects
from embedded.stack import Ready
from tests.support.database_reset import Emptier
from tests.support.forks import end_zygote
from tests.support.processes import kill_what_is_left
from tests.support.stack_process import StackProcess, settings_for

ROOT = Path(__file__).parents[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three processes for two cores: a quarter of the tests' time is spent in waiting for something."""
    return max(1, (os.cpu_count() or 1) * 3 // 2)


def pytest_collection_finish() -> None:
    """What was read to find the tests stays; the garbage collector would walk over it again and again."""
    freeze_loaded_objects()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and no .env of the repository, reaches a test."""
    for field in ApiSettings.model_fields | WorkerSettings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    for settings in (SupabaseSettings, ApiSettings, WorkerSettings):
        monkeypatch.setitem(settings.model_config, "env_file", None)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """However a test ends, the API and the workers that it started end too."""
    yield
    kill_what_is_left()


@pytest.fixture(autouse=True, scope="session")
def no_zygote_is_left() -> Iterator[None]:
    """What they were forked from ends with the run."""
    yield
    end_zygote()


@pytest.fixture(autouse=True, scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In place of the world's authorities, one of nobody: to read them all took 20 ms of each HTTP client's making.

    For the processes that tests start too.
    """
    nobody, make = tmp_path_factory.mktemp("authority") / "nobody.pem", ssl.create_default_context
    trustme.CA().cert_pem.write_to_path(nobody)

    def quick(*purpose: ssl.Purpose, cafile: str | None = None, **more: Any) -> ssl.SSLContext:
        return make(*purpose, cafile=nobody if cafile == certifi.where() else cafile, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", quick)
        patched.setenv("SSL_CERT_FILE", str(nobody))
        yield


@pytest.fixture(scope="session")
def stack_folder() -> Iterator[Path]:
    """A folder that an unprivileged PostgreSQL may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="broadsheet-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stack(stack_folder: Path) -> Iterator[Ready]:
    """The emulator with the project's schema, in a process of its own, for the whole run."""
    with StackProcess(stack_folder / "stack", ROOT / "supabase" / "migrations").running() as ready:
        yield ready


@pytest.fixture(scope="session")
def emptier() -> Iterator[Emptier]:
    """What empties databases between tests."""
    with Emptier() as emptier:
        yield emptier


@pytest.fixture
def database_reset(emptier: Emptier, stack: Ready) -> None:
    """The emulator's database is empty."""
    emptier.empty(stack.database_url)


@pytest.fixture
async def database(stack: Ready, database_reset: None) -> AsyncIterator[asyncpg.Connection]:  # noqa: ARG001  (it is, before)
    """A superuser's connection to the emulator's database, database_reset before the test."""
    connection = await asyncpg.connect(stack.database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def client(stack: Ready, database_reset: None) -> AsyncIterator[AsyncClient]:  # noqa: ARG001  (it is, before)
    """The one client, on an empty database."""
    async with open_supabase(settings_for(stack)) as client:
        yield client
