"""Injects small faults, one at a time, into a copy of the tree, and lists those that the package's tests do not detect.

If no test detects a fault, the type checker runs on it: CI runs it before the tests. Such faults are listed separately.

The faults of Python are a random sample; all faults of the SQL are used (`faults.py`). They are written into the file,
so that processes which a test starts have them too (mutmut's own runner enables them only in its own process). The
files and tests of each package are in `mutants.toml`. The tests whose words are nearest to the fault's description run
first (`relevant_tests.py`). A test detects a fault only if it also passes without the fault (`tree_copy.py`). For a
fault of the SQL, no run starts a process or an emulator (`live_copy.py`).
"""

import argparse
import os
import random
import secrets
import signal
import sys
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from scripts.faults import DATA, ROOT, SQL, Mutant, WrongData, python_mutants, sql_mutants
from scripts.live_copy import LiveCopy
from scripts.relevant_tests import RelevantTests
from scripts.tree_copy import Copy, copies

TIME_LIMIT = 3600.0
"""Seconds that a package's tests may take. Each test has a limit (pytest's `timeout`)."""

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


class Verdict(Enum):
    """What detected a fault, as it is printed."""

    TESTS = "detected"
    TYPES = "types"
    NONE = "SURVIVED"


def run_mutants(
    mutants: Sequence[Mutant],
    packages: dict[str, list[str]],
    jobs: int,
    *,
    make: Callable[[Path], Copy] = Copy,
) -> list[tuple[Mutant, Verdict]]:
    """Inject each fault into a copy and return what detected it. Raises `WrongData`."""
    relevant = {name: RelevantTests(ROOT, packages[name]) for name in {each.package for each in mutants}}
    with ThreadPoolExecutor(jobs) as pool, copies(jobs, make) as free:

        def run(mutant: Mutant) -> tuple[Mutant, Verdict]:
            copy, verdict = free.get(), Verdict.TESTS
            runs = relevant[mutant.package].runs(mutant.description)
            if mutant.test:
                runs = [[mutant.test], *runs]
            failure = copy.detection(mutant, runs, TIME_LIMIT)
            if failure is None:
                verdict = Verdict.NONE if mutant.package == SQL or copy.passes_type_check(mutant) else Verdict.TYPES
            free.put(copy)
            print(f"{verdict.value:10}{mutant.file}:{mutant.line} {mutant.reason} {failure or ''}".rstrip(), flush=True)
            return mutant, verdict

        try:
            return list(pool.map(run, mutants))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def main() -> int:
    """Draw, inject and report; return 1 if the data is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--count", type=int, default=50, help="Python faults to draw; all SQL faults are injected")
    parser.add_argument("--package", help=f"a package of mutants.toml; {PYTHON}: all except {SQL}")
    parser.add_argument("--only", default="", help="inject only the SQL faults whose file or reason contains this text")
    # As many as `make test` has: tests wait during a third of their time.
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
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
        listed = list(sql_mutants(data["sql"] if SQL in packages else ()))
        sql = [mutant for mutant in listed if options.only in f"{mutant.file} {mutant.reason}"]
        print(f"{len(drawn)} faults of {len(every)}, and {len(sql)} of the SQL", flush=True)
        tests = {name: package["tests"] for name, package in packages.items()}
        verdicts = run_mutants(drawn, tests, options.jobs) if drawn else []
        if sql:
            verdicts += run_mutants(sql, tests, options.jobs, make=partial(LiveCopy, tests=tests[SQL]))
    except WrongData as error:
        print(error, file=sys.stderr)
        return 1
    found = {verdict: [mutant for mutant, its in verdicts if its is verdict] for verdict in Verdict}
    for verdict in (Verdict.TYPES, Verdict.NONE):
        for mutant in found[verdict]:
            print(f"\n{verdict.value} {mutant.file}:{mutant.line} {mutant.reason}\n{mutant.diff()}")
    tested, types, survived = (len(found[verdict]) for verdict in Verdict)
    print(
        f"\n{len(verdicts)} faults: tests detected {tested}, only the type checker {types}, nothing {survived}", end=" "
    )
    print(f"(SEED={options.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
