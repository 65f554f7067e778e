"""Tests the newest `supabase` and `realtime` without changing this checkout: `make try-upgrade`.

A copy of the tracked files gets the newest pins of the package index, new locks (dependencies of the pins are upgraded,
other packages keep their version if possible) and a separate virtual environment. The boot check and all tests run
there. The report says whether the pins can be raised, and what failed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PINNED = ("supabase", "realtime")
# Without the tests that check the pinned versions: those are edited together with the pins.
PYTEST = ("-m", "pytest", "-q", "-m", "not pins", "--tb=line", "--timeout=60", "-p", "no:cacheprovider")
# The fastest first: acceptance tests start processes and take longest to fail.
FOLDERS = ("tests/unit", "tests/integration", "tests/contract", "tests/acceptance")
NO_TESTS = "the tests did not run"


@dataclass
class Report:
    """The result: `changed` maps packages to (old, new) versions; `problems` is empty if everything passed."""

    changed: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    tests: str = NO_TESTS


class StepFailed(Exception):
    """A step failed that all further steps need; the message is the end of its output."""


def versions(lock: Path) -> dict[str, str]:
    """Read the packages and versions of a lock."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def with_pins(pyproject: str, pins: dict[str, str]) -> str:
    """Return `pyproject` with the pinned packages at `pins`; a package without a pin may have any version."""
    for package in PINNED:
        requirement = f"{package}=={pins[package]}" if package in pins else f"{package}>=0"
        pyproject, found = re.subn(rf'"{package}[=>]=[^"]*"', f'"{requirement}"', pyproject)
        if found != 1:
            raise StepFailed(f"pyproject.toml must pin {package} once, but pins it {found} times")
    return pyproject


def run(where: Path, *command: str, **variables: str) -> str:
    """Run a step in `where`; raises `StepFailed` with the end of its output."""
    done = subprocess.run(command, cwd=where, env=os.environ | variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepFailed("\n".join([f"{' '.join(command)}:", *(done.stdout + done.stderr).splitlines()[-15:]]))
    return done.stdout


def copy_tracked(source: Path, target: Path) -> None:
    """Copy the tracked files with their current content."""
    for name in run(source, "git", "ls-files", "-z").split("\0"):
        if name and (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def lock_newest(where: Path) -> dict[str, tuple[str, str]]:
    """Write the newest pins and new locks into the copy; returns the changed versions. Raises `StepFailed`."""
    lock, pyproject = where / "requirements.lock", where / "pyproject.toml"
    before = versions(lock)
    run(where, sys.executable, "-m", "venv", "lock-venv")
    run(where, "lock-venv/bin/pip", "install", "--quiet", "uv")
    pyproject.write_text(with_pins(pyproject.read_text(encoding="utf-8"), {}), encoding="utf-8")
    (where / "newest.in").write_text("\n".join(PINNED), encoding="utf-8")
    run(where, "lock-venv/bin/uv", "pip", "compile", "--quiet", "--universal", "newest.in", "-o", "newest.lock")
    dependencies = versions(where / "newest.lock")
    run(where, "sh", "scripts/lock.sh", UV="lock-venv/bin/uv", UPGRADE_ONLY=" ".join(dependencies))
    after = versions(lock)
    pyproject.write_text(with_pins(pyproject.read_text(encoding="utf-8"), after), encoding="utf-8")
    names = sorted(before.keys() | after.keys())
    pairs = {name: (before.get(name, "-"), after.get(name, "-")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def boot_problems(where: Path) -> Iterator[str]:
    """Run the boot check in the copy; yields the failed lines."""
    done = subprocess.run(
        [".venv/bin/python", "-m", "app.boot"], cwd=where, capture_output=True, text=True, check=False
    )
    print(done.stdout + done.stderr, flush=True)
    if done.returncode:
        yield from (f"boot check: {line}" for line in done.stdout.splitlines() if re.match(r"\s*(FAIL|boot)", line))


def run_tests(where: Path, arguments: list[str], report: Report) -> None:
    """Run the tests in the copy and print their output; adds failures, causes and pytest's summary to `report`."""
    command = [".venv/bin/python", *PYTEST, *arguments]
    with subprocess.Popen(command, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = [_printed(line) for line in process.stdout or ()]
    problems = [line for line in lines if line.startswith(("FAILED tests", "ERROR tests"))]
    report.causes.update(
        match[1] for line in lines if (match := re.match(r"(?:E  |/\S+:\d+:) +([\w.]*(?:Error|Warning).*)", line))
    )
    report.tests = next(
        (line.strip("= ") for line in lines[::-1] if re.search(r"\d+ (passed|failed|error)", line)), NO_TESTS
    )
    if process.returncode and not problems:
        problems = [f"pytest exited with status {process.returncode}"]
    report.problems += problems


def _printed(line: str) -> str:
    print(line, end="", flush=True)
    return line.rstrip()


def try_upgrade(source: Path, where: Path, arguments: list[str]) -> Report:
    """Test the newest versions in the folder `where`."""
    report = Report()
    try:
        copy_tracked(source, where)
        report.changed = lock_newest(where)
        if not any(package in report.changed for package in PINNED):
            return report
        print("Newest:", *(f"{name} {old} -> {new}" for name, (old, new) in report.changed.items()), sep="\n  ")
        run(where, sys.executable, "-m", "venv", ".venv")
        run(where, ".venv/bin/pip", "install", "-q", "--no-deps", "--require-hashes", "-r", "requirements-dev.lock")
        report.problems += boot_problems(where)
        run_tests(where, arguments, report)
    except StepFailed as error:
        report.problems.append(str(error))
    return report


def print_report(report: Report) -> None:
    """Print the changed versions, the failures, and whether the pins can be raised."""
    pins = ", ".join(f"{p} {'{} -> {}'.format(*report.changed[p])}" for p in PINNED if p in report.changed)
    print(f"\nTested: {pins or 'nothing, the pins are the newest versions'}; {report.tests}.")
    for cause, count in report.causes.most_common(8):
        print(f"  {count:4} times: {cause[:180]}")
    files = Counter(match[1] for p in report.problems if (match := re.match(r"(?:FAILED|ERROR) ([^: ]+)", p)))
    for name, count in files.most_common():
        print(f"  {count:4} in {name}")
    print(*(f"  {problem}" for problem in report.problems if not problem.startswith(("FAILED", "ERROR"))), sep="\n")
    print("The pins CANNOT be raised yet." if report.problems else "The pins can be raised." if pins else "")


def main() -> int:
    """Test the newest versions and print the report; return 0 if the pins can be raised or are the newest."""
    parser = argparse.ArgumentParser(description="Test the newest supabase and realtime in a separate environment.")
    parser.add_argument("arguments", nargs="*", default=FOLDERS, help="arguments for pytest, to run fewer tests")
    arguments = parser.parse_args().arguments
    with tempfile.TemporaryDirectory(prefix="broadsheet-upgrade-") as folder:
        where = Path(folder)
        where.chmod(0o755)  # the tests' PostgreSQL runs as another user, from here
        report = try_upgrade(Path(__file__).resolve().parent.parent, where, arguments)
    print_report(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
