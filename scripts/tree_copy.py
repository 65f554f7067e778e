"""Copies of the tree, in which faults are injected and tests run."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from scripts.faults import ROOT, Mutant, WrongData

ONE_DATABASE = {"POSTGRESQL": "bundled"}
"""The contract tests can run on two PostgreSQL versions; here they run on one."""

CHECKED = ("app", "worker")
"""The packages that the type checker checks."""

OUTPUT = "tmp/output"
"""The file of a copy that has the output of its last run."""

PASSED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
"""Where all tests of a run are unstable, none is left."""

OPTIONS = ("-x", "-rfE", "--tb=no", "-p", "no:cacheprovider")
FAILED = re.compile(r"^(?:FAILED|ERROR) (?P<test>[^\s\[]+)\S*", re.MULTILINE)
"""Matches a failed test, or a test whose fixtures failed, in pytest's summary."""

TYPES_CACHE = ".mypy_cache"

TYPE_CHECK = 900.0
"""Seconds that the type checker may take."""


NO_TEST_FAILED = "no test failed, but the tests did not end normally and in time"

Injection = Callable[[], AbstractContextManager[None]]
"""A block in which the fault is injected."""
Run = tuple[Sequence[str], Injection]


class Closed(Exception):
    """The run ends, so that this copy starts no more processes."""


class Copy:
    """A copy of the tree, for one fault at a time and the tests that should detect it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unstable: list[str] = []
        self._times = itertools.count(1_000_000_000)
        self._process: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._is_closed = False
        self._starting = threading.Lock()
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        (folder / "tmp").mkdir(parents=True)
        if (ROOT / TYPES_CACHE).is_dir():
            shutil.copytree(ROOT / TYPES_CACHE, folder / TYPES_CACHE)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the copy's processes."""
        # The options of an outer pytest, such as those of `make test`, are not meant for this one.
        return os.environ | ONE_DATABASE | {"TMPDIR": str(self.folder / "tmp"), "PYTEST_ADDOPTS": ""}

    def detection(self, mutant: Mutant, runs: Sequence[Sequence[str]], seconds: float) -> str | None:
        """Return the first test that fails twice with the fault and passes without it, in runs of at most `seconds`.

        The next run begins if the previous one has no such test. Raises `WrongData` if tests do not end without fault.
        """
        return self.first_detection([(tests, partial(self.injected, mutant)) for tests in runs], seconds)

    def first_detection(self, runs: Iterable[Run], seconds: float) -> str | None:
        """See `detection`. Each run has the block in which the fault is injected."""
        self._unstable.clear()
        found = (self._detection_in(tests, faulty, seconds) for tests, faulty in runs)
        return next((failure for failure in found if failure is not None), None)

    @contextmanager
    def injected(self, mutant: Mutant) -> Iterator[None]:
        """Keep the fault in the file while the block runs."""
        self._write(mutant.file, mutant.text)
        try:
            yield
        finally:
            self._write(mutant.file, mutant.original)

    def first_failure(self, tests: Sequence[str], seconds: float) -> str | None:
        """Run these tests until one fails, and name it. Tests that take longer than `seconds` count as failed."""
        if self._status(["pytest", *self.arguments(tests)], seconds) in PASSED:
            return None
        return self.failed_test()

    def arguments(self, tests: Sequence[str]) -> list[str]:
        """The arguments of pytest for these tests: names, or patterns of files and folders."""
        excluded = [f"--deselect={test}" for test in self._unstable]
        return [*OPTIONS, *excluded, *(path for test in tests for path in self._paths(test))]

    def failed_test(self) -> str:
        """The test that ended the last run."""
        failed = [found[0] for found in FAILED.finditer((self.folder / OUTPUT).read_text("utf-8", "replace"))]
        return failed[-1] if failed else NO_TEST_FAILED

    def passes_type_check(self, mutant: Mutant) -> bool:
        """Whether the type checker reports no error in the service's packages with this fault."""
        with self.injected(mutant):
            return self._status(["mypy", *CHECKED], TYPE_CHECK) == 0

    def start(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
        """Start a program of Python in this folder, in a session without others. Raises `Closed`."""
        with self._starting:
            if self._is_closed:
                raise Closed
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, *command], cwd=self.folder, env=self.environment, start_new_session=True, **options
            )
            self._started = [*(each for each in self._started if each.poll() is None), process]
            return process

    def close(self) -> None:
        """End all processes, also those that a thread is about to start."""
        with self._starting:
            self._is_closed = True
        self.stop()
        for process in self._started:
            if process.poll() is None:
                kill_group(process)

    def stop(self) -> None:
        """Kill the running tests and the processes that they started."""
        if self._process is not None:
            kill_group(self._process)

    def _detection_in(self, tests: Sequence[str], faulty: Injection, seconds: float) -> str | None:
        while (failure := self._failure_with(faulty, tests, seconds)) is not None:
            named = FAILED.match(failure)
            again = [named["test"]] if named else tests
            without = self.first_failure(again, seconds)
            # A test that fails at random may have passed without the fault.
            if without is None and self._failure_with(faulty, again, seconds) is not None:
                return failure
            if named is None:
                if without is None:
                    return None
                raise WrongData(f"without any fault, {without}: {' '.join(tests)}")
            self._unstable.append(named["test"])
            print(f"{named['test']} detects nothing: it fails without the fault, or passes with it", flush=True)
        return None

    def _failure_with(self, faulty: Injection, tests: Sequence[str], seconds: float) -> str | None:
        with faulty():
            return self.first_failure(tests, seconds)

    def _paths(self, test: str) -> list[str]:
        return [test] if "::" in test else [str(path) for path in sorted(self.folder.glob(test))]

    def _status(self, module: Sequence[str], seconds: float) -> int | None:
        """Run a module as a program, and return its exit status, or None if it does not end in time."""
        with (self.folder / OUTPUT).open("wb") as output:
            self._process = process = self.start(["-m", *module], stdout=output, stderr=subprocess.DEVNULL)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.stop()
            process.wait()

    def _write(self, name: str, text: str) -> None:
        """Write the file with a unique modification time: Python compares time and size to validate compiled files."""
        (self.folder / name).write_text(text, encoding="utf-8")
        modified = next(self._times)
        os.utime(self.folder / name, (modified, modified))


def kill_group(process: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
    """Kill a process that has its own session, and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def copies(count: int, make: Callable[[Path], Copy]) -> Iterator["SimpleQueue[Copy]"]:
    """Make `count` copies of the tree that PostgreSQL's user can read; remove them and their processes afterwards."""
    with tempfile.TemporaryDirectory(prefix="broadsheet-mutants-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        every = [make(Path(folder) / str(number)) for number in range(count)]
        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in every:
            free.put(copy)
        try:
            yield free
        finally:
            for copy in every:
                copy.close()
