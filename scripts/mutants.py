"""Injects small faults, one at a time, into a copy of the tree, and lists those that the package's tests do not detect.

If no test detects a fault, the type checker runs on it: CI runs it before the tests. Such faults are listed separately.

The faults of Python are a random sample; all faults of the SQL are used (`faults.py`). They are written into the file,
so that processes which a test starts have them too (mutmut's own runner enables them only in its own process). The
files and tests of each package are in `mutants.toml`.
"""

import argparse
import itertools
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from scripts.faults import DATA, SQL, Mutant, WrongData, python_mutants, sql_mutants

ROOT = Path(__file__).resolve().parent.parent
ONE_DATABASE = {"POSTGRESQL": "bundled"}
"""The contract tests can run on two PostgreSQL versions; here they run on one."""

CHECKED = ("app", "worker")
"""The packages that the type checker checks."""

TIME_LIMIT = 900.0
"""Seconds that a package's tests may take without any fault."""

PYTHON = "python"
"""Chooses the packages of Python, without the SQL."""


def choose(packages: dict[str, Any], word: str | None) -> dict[str, Any]:
    """Return the package of this name, those of Python, or all. Raises `WrongData` for an unknown name."""
    if word not in (None, PYTHON, *packages):
        known = ", ".join((PYTHON, *packages))
        raise WrongData(f"{DATA.name}: no package is called {word}: choose one of {known}")
    return {name: data for name, data in packages.items() if word in (None, name) or (word == PYTHON and name != SQL)}


def check_tests(package: str, tests: Sequence[str]) -> None:
    """Raise `WrongData` for a pattern that matches no file or folder."""
    for pattern in tests:
        if not any(ROOT.glob(pattern)):
            raise WrongData(f"{DATA.name}, package {package}: no test is called {pattern}")


class Copy:
    """A copy of the tree, for one fault at a time and the tests that should detect it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._times = itertools.count(1_000_000_000)
        self._process: subprocess.Popen[bytes] | None = None
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        (folder / "tmp").mkdir(parents=True)

    @contextmanager
    def injected(self, mutant: Mutant) -> Iterator[None]:
        """Keep the fault in the file while the block runs."""
        self._write(mutant.file, mutant.text)
        yield
        self._write(mutant.file, mutant.original)

    def passes(self, tests: Sequence[str], seconds: float) -> bool:
        """Run these tests until one fails; tests that take longer than `seconds` count as failed."""
        files = [str(path) for pattern in tests for path in sorted(self._folder.glob(pattern))]
        return self._succeeds(["pytest", "-x", "-p", "no:cacheprovider", *files], seconds)

    def passes_type_check(self) -> bool:
        """Whether the type checker reports no error in the service's packages."""
        return self._succeeds(["mypy", *CHECKED], TIME_LIMIT)

    def _succeeds(self, module: Sequence[str], seconds: float) -> bool:
        command = [sys.executable, "-m", *module]
        self._process = process = subprocess.Popen(
            command,
            cwd=self._folder,
            # The options of an outer pytest, such as those of `make test`, are not meant for this one.
            env=os.environ | ONE_DATABASE | {"TMPDIR": str(self._folder / "tmp"), "PYTEST_ADDOPTS": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            self.stop()
            process.wait()

    def stop(self) -> None:
        """Kill the running tests and the processes that they started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _write(self, name: str, text: str) -> None:
        """Write the file with a unique modification time: Python compares time and size to validate compiled files."""
        (self._folder / name).write_text(text, encoding="utf-8")
        modified = next(self._times)
        os.utime(self._folder / name, (modified, modified))


@contextmanager
def copies(count: int) -> Iterator["SimpleQueue[Copy]"]:
    """Make `count` copies of the tree that PostgreSQL's user can read; remove them and their processes afterwards."""
    with tempfile.TemporaryDirectory(prefix="broadsheet-mutants-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        every = [Copy(Path(folder) / str(number)) for number in range(count)]
        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in every:
            free.put(copy)
        try:
            yield free
        finally:
            for copy in every:
                copy.stop()


class Verdict(Enum):
    """What detected a fault, as it is printed."""

    TESTS = "detected"
    TYPES = "types"
    NONE = "SURVIVED"


def run_mutants(mutants: Sequence[Mutant], packages: dict[str, list[str]], jobs: int) -> list[tuple[Mutant, Verdict]]:
    """Inject each fault and return what detected it. Raises `WrongData`."""
    with ThreadPoolExecutor(jobs) as pool, copies(jobs) as free:
        time_limits = {
            package: _time_limit(package, packages[package], free)
            for package in dict.fromkeys(m.package for m in mutants)
        }

        def run(mutant: Mutant) -> tuple[Mutant, Verdict]:
            copy, verdict = free.get(), Verdict.TESTS
            with copy.injected(mutant):
                if copy.passes(packages[mutant.package], time_limits[mutant.package]):
                    verdict = Verdict.NONE if mutant.package == SQL or copy.passes_type_check() else Verdict.TYPES
            free.put(copy)
            print(f"{verdict.value:10}{mutant.file}:{mutant.line} {mutant.reason}", flush=True)
            return mutant, verdict

        try:
            return list(pool.map(run, mutants))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _time_limit(package: str, tests: Sequence[str], free: "SimpleQueue[Copy]") -> float:
    """Seconds that the package's tests may take with a fault: 30 plus three times their time without one."""
    copy, begin = free.get(), time.monotonic()
    if not copy.passes(tests, TIME_LIMIT):
        raise WrongData(f"package {package}: {' '.join(tests)} fail without any fault")
    free.put(copy)
    took = time.monotonic() - begin
    print(f"{package}: {took:.0f} s without a fault", flush=True)
    return 30 + 3 * took


def main() -> int:
    """Draw, inject and report; return 1 if the data is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--count", type=int, default=50, help="Python faults to draw; all SQL faults are injected")
    parser.add_argument("--package", help=f"a package of mutants.toml; {PYTHON}: all except {SQL}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # remove the copies on SIGTERM too
    data = tomllib.loads(DATA.read_text(encoding="utf-8"))
    print(f"SEED={options.seed} N={options.count}", flush=True)
    try:
        packages = choose(data["packages"], options.package)
        for name, package in packages.items():
            check_tests(name, package["tests"])
        every = [make for name, package in packages.items() for make in python_mutants(name, package.get("files", ()))]
        draw = random.Random(options.seed)  # noqa: S311  (a repeatable draw, not a secret)
        drawn = [make() for make in draw.sample(every, min(options.count, len(every)))]
        if SQL in packages:
            drawn += sql_mutants(data["sql"])
        print(f"{len(drawn)} faults, {len(every)} to draw from", flush=True)
        verdicts = run_mutants(drawn, {name: package["tests"] for name, package in packages.items()}, options.jobs)
    except WrongData as error:
        print(error, file=sys.stderr)
        return 1
    found = {verdict: [mutant for mutant, its in verdicts if its is verdict] for verdict in Verdict}
    for verdict in (Verdict.TYPES, Verdict.NONE):
        for mutant in found[verdict]:
            print(f"\n{verdict.value} {mutant.file}:{mutant.line} {mutant.reason}\n{mutant.diff()}")
    survived, types = len(found[Verdict.NONE]), len(found[Verdict.TYPES])
    print(
        f"\n{survived} of {len(drawn)} faults were not detected, {types} only by the type checker (SEED={options.seed})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
