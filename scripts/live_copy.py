"""A copy of the tree for faults of the SQL, which runs tests in a fraction of the time of a new process.

The tests run in forks of a process that has imported them, on an emulator that keeps running: a fault of a function
replaces the function in its database. For another fault, and for the last run, the fault is in the migration's file,
and the tests start an emulator of their own.
"""

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg

from scripts.faults import Mutant, WrongData
from scripts.tree_copy import OUTPUT, PASSED, Copy, kill_group
from tests.support.running_stack import EMULATOR
from tests.support.tasks import JWT_SECRET

SCHEMA = """
select md5(string_agg(part, '' order by part)) from (
    select pg_get_functiondef(oid) as part from pg_proc where pronamespace = 'public'::regnamespace and prokind = 'f'
    union all select relname::text from pg_class where relnamespace = 'public'::regnamespace
    union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal) parts
"""
"""A hash of the functions, tables, indexes and triggers."""


class Emulator:
    """An emulator with a copy's migrations, as its own process. Raises `json.JSONDecodeError` if it does not start."""

    def __init__(self, copy: Copy) -> None:
        folder = Path(tempfile.mkdtemp(prefix="emulator-", dir=copy.folder / "tmp"))
        folder.chmod(0o755)  # PostgreSQL's user enters it
        serve = ["-m", "embedded", "serve", "--data", str(folder / "data"), "--port", "0"]
        migrations = ["--migrations", str(copy.folder / "supabase" / "migrations")]
        command = [*serve, *migrations, "--no-durable", "--jwt-secret", JWT_SECRET]
        self._process = copy.start(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None  # noqa: S101  (it is a pipe)
        self.ready = self._process.stdout.readline().decode()
        self._database_url: str = json.loads(self.ready)["database_url"]
        self._schema = self._schema_now()

    def execute(self, statement: str) -> None:
        """Run a statement as a superuser. Raises `psycopg.Error`."""
        with psycopg.connect(self._database_url, autocommit=True) as database:
            database.execute(statement.encode())

    def is_unchanged(self) -> bool:
        """Whether the schema is that of the migrations."""
        try:
            return self._schema_now() == self._schema
        except psycopg.Error:
            return False

    def stop(self) -> None:
        """Stop it and its PostgreSQL."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        kill_group(self._process)
        self._process.communicate()

    def _schema_now(self) -> object:
        with psycopg.connect(self._database_url) as database:
            return database.execute(SCHEMA).fetchone()


class LiveCopy(Copy):
    """A copy whose imported tests and emulator stay for all faults. `tests` are the files and folders to import."""

    def __init__(self, folder: Path, tests: Sequence[str]) -> None:
        super().__init__(folder)
        self._tests = tests
        self._emulator: Emulator | None = None
        self._is_replaced = False
        self._pytest: subprocess.Popen[bytes] | None = None

    def detection(self, mutant: Mutant, runs: Sequence[Sequence[str]], seconds: float) -> str | None:
        """See `Copy.detection`. Raises `WrongData` for a function that the database refuses."""
        if mutant.live is None:
            return super().detection(mutant, runs, seconds)
        replaced = partial(self._replaced, mutant, mutant.live)
        quick = [(tests, replaced) for tests in runs[:-1]]
        return self.first_detection([*quick, (runs[-1], partial(self.injected, mutant))], seconds)

    @contextmanager
    def _replaced(self, mutant: Mutant, statements: tuple[str, str]) -> Iterator[None]:
        """Keep the fault in the running database while the block runs."""
        try:
            self._running_emulator().execute(statements[0])
        except psycopg.Error as error:
            raise WrongData(f"{mutant.file}:{mutant.line} {mutant.reason}: {error}") from error
        self._is_replaced = True
        try:
            yield
        finally:
            self._is_replaced = False
            self._restore(statements[1])

    def first_failure(self, tests: Sequence[str], seconds: float) -> str | None:
        """Run these tests in a fork; see `Copy.first_failure`."""
        environment = {EMULATOR: self._running_emulator().ready} if self._is_replaced else {}
        status = self._run({"arguments": self.arguments(tests), "environment": environment}, seconds)
        if status in {str(int(passed)) for passed in PASSED}:
            return None
        failed = self.failed_test()
        if not status:
            self.stop()
        return failed

    def stop(self) -> None:
        """Kill the running tests, and stop the emulator."""
        super().stop()
        if self._pytest is not None:
            kill_group(self._pytest)
            self._pytest.communicate()
            self._pytest = None
        self._stop_emulator()

    def _restore(self, statement: str) -> None:
        """Remove the fault from the database. If the schema is still not the migrations', stop the emulator."""
        if self._emulator is not None:
            with suppress(psycopg.Error):
                self._emulator.execute(statement)
            if not self._emulator.is_unchanged():
                self._stop_emulator()

    def _run(self, request: dict[str, object], seconds: float) -> str:
        """Return the exit status; empty after `seconds`."""
        process = self._pytest = self._pytest or self._started_pytest()
        assert process.stdin is not None  # noqa: S101  (it is a pipe)
        assert process.stdout is not None  # noqa: S101  (it is a pipe)
        os.write(process.stdin.fileno(), json.dumps(request).encode() + b"\n")
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return os.read(process.stdout.fileno(), 100).decode().strip() if ready else ""

    def _started_pytest(self) -> "subprocess.Popen[bytes]":
        command = ["-m", "scripts.warm_pytest", str(self.folder / OUTPUT), *self._tests]
        return self.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def _running_emulator(self) -> Emulator:
        if self._emulator is None:
            self._emulator = Emulator(self)
        return self._emulator

    def _stop_emulator(self) -> None:
        if self._emulator is not None:
            self._emulator.stop()
            self._emulator = None
