"""Fixtures for all tests: the emulator, started once for the whole run, and its clients."""

import gc
import os
import shutil
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import certifi
import pytest
import trustme
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import ApiSettings, SupabaseSettings, WorkerSettings
from app.process.gc_freeze import freeze_loaded_objects
from embedded.stack import Ready
from tests.support.database_reset import DatabaseCleaner
from tests.support.fixture_types import StartStack
from tests.support.forks import end_zygote
from tests.support.logs import restored_logs
from tests.support.prepared_data import prepare
from tests.support.processes import kill_what_is_left
from tests.support.running_stack import running_emulator
from tests.support.stack_process import StackProcess, settings_for
from tests.support.tasks import JWT_SECRET

ROOT = Path(__file__).parents[1]
SHARED = pytest.StashKey[str]()

# No test fails because the machine is slow, and a test gets the same examples in each run.
settings.register_profile(
    "broadsheet", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("broadsheet")
# Hypothesis also tries constants of the loaded modules, so examples would depend on which other tests a process runs.
providers._get_local_constants = Constants  # noqa: SLF001  (there is no setting)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Four processes for two cores, because the tests wait during a third of their time."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure() -> None:
    """A shell script starts background programs with SIGINT ignored, and tests that interrupt theirs would wait."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each process of a parallel run the folder that all of them share."""
    if (shared := node.config.stash.get(SHARED, None)) is None:
        node.config.stash[SHARED] = shared = tempfile.mkdtemp(prefix="broadsheet-tests-")
    node.workerinput["shared_folder"] = shared


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove this folder at the end; a process of an interrupted run may still write to it."""
    if (shared := config.stash.get(SHARED, None)) is not None:
        shutil.rmtree(shared, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while modules and tests are loaded: all of it stays, and each collection visits all of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Exclude the imported modules from garbage collection, which would visit their objects repeatedly."""
    freeze_loaded_objects()


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_this_machine() -> Iterator[None]:
    """No setting in this machine's environment affects a test."""
    names = {field.upper() for field in ApiSettings.model_fields | WorkerSettings.model_fields}
    with pytest.MonkeyPatch.context() as patched:
        for variable in [name for name in os.environ if name in names or name.startswith("OTEL_")]:
            patched.delenv(variable)
        yield


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No .env file of the repository affects a test."""
    for model in (SupabaseSettings, ApiSettings, WorkerSettings):
        monkeypatch.setitem(model.model_config, "env_file", None)


@pytest.fixture(autouse=True)
def logs_are_restored() -> Iterator[None]:
    """A test that starts a program in this process does not change the logging of the next test."""
    with restored_logs():
        yield


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """The API and workers that a test starts end with it, also when it fails."""
    yield
    kill_what_is_left()


@pytest.fixture(autouse=True, scope="session")
def no_zygote_is_left() -> Iterator[None]:
    """The process from which they are forked ends with the run."""
    yield
    end_zygote()


@pytest.fixture(autouse=True, scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one unused certificate authority instead of the system's, which cost 20 ms per HTTP client to load.

    All HTTP clients share what was loaded. It also applies to the processes that tests start.
    """
    nobody, make = tmp_path_factory.mktemp("authority") / "nobody.pem", ssl.create_default_context
    trustme.CA().cert_pem.write_to_path(nobody)
    of_clients = make(cafile=nobody)

    def quick(*purpose: ssl.Purpose, cafile: str | None = None, **more: Any) -> ssl.SSLContext:
        is_clients = cafile in {certifi.where(), str(nobody)} and not purpose and not more
        return of_clients if is_clients else make(*purpose, cafile=cafile, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", quick)
        patched.setenv("SSL_CERT_FILE", str(nobody))
        yield


@pytest.fixture(scope="session")
def stack_folder() -> Iterator[Path]:
    """A folder that an unprivileged PostgreSQL can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="broadsheet-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def start_stack(stack_folder: Path, pytestconfig: pytest.Config) -> Iterator[StartStack]:
    """Start an emulator with the project's schema on a PostgreSQL version, in its own process, for the whole run."""
    shared = getattr(pytestconfig, "workerinput", {}).get("shared_folder")
    with ExitStack() as started:

        def start(version: str, binaries: Path | None = None) -> Ready:
            arguments = ("--jwt-secret", JWT_SECRET)
            emulator = StackProcess(
                stack_folder / version, ROOT / "supabase/migrations", binaries=binaries, arguments=arguments
            )
            if shared is not None:
                prepare(emulator, Path(shared) / version)
            return started.enter_context(emulator.running())

        yield start


@pytest.fixture(scope="session")
def stack_of_bundled(start_stack: StartStack) -> Ready:
    """The emulator on the bundled PostgreSQL, or the one that RUNNING_EMULATOR describes."""
    return running_emulator() or start_stack("bundled")


@pytest.fixture(scope="session")
def stack(stack_of_bundled: Ready) -> Ready:
    """The emulator on which tests run."""
    return stack_of_bundled


@pytest.fixture(scope="session")
def database_cleaner() -> Iterator[DatabaseCleaner]:
    """Empties databases between tests."""
    with DatabaseCleaner() as database_cleaner:
        yield database_cleaner


@pytest.fixture
def database_reset(database_cleaner: DatabaseCleaner, stack: Ready) -> None:
    """The emulator's database is empty."""
    database_cleaner.empty(stack.database_url)


@pytest.fixture
async def database(stack: Ready, database_reset: None) -> AsyncIterator[asyncpg.Connection]:  # noqa: ARG001  (run first)
    """A superuser's connection to the emulator's database, which is reset before the test."""
    # It asks for no TLS, which the emulator does not have: a quarter of the connection's time here.
    connection = await asyncpg.connect(stack.database_url, ssl=False)
    yield connection
    await connection.close()


@pytest.fixture
async def client(stack: Ready, database_reset: None) -> AsyncIterator[AsyncClient]:  # noqa: ARG001  (run first)
    """The Supabase client, on an empty database."""
    async with open_supabase(settings_for(stack)) as client:
        yield client
