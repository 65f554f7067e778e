"""Tries the newest `supabase` and `realtime` without touching this checkout: `make try-upgrade`.

A copy of the tracked files gets pins that are the newest versions on the package index, new locks (what they bring
along is the newest too, everything else stays where it is if it can) and a virtual environment of its own; there the
boot check and the whole test-suite run.
The verdict says whether the pins could be raised, and what broke.
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
# Tests that state the pins themselves; they are edited when the pins are.
PYTEST = ("-m", "pytest", "-q", "-m", "not pins", "--tb=line", "--timeout=60", "-p", "no:cacheprovider")
# The quickest first: whole processes that wait for what never comes take longest to fail.
FOLDERS = ("tests/unit", "tests/integration", "tests/contract", "tests/acceptance")
NO_TESTS = "the tests did not run"


@dataclass
class Answer:
    """What the trial showed: `changed` maps packages to (old, new) versions; `problems` is empty if all passed."""

    changed: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    tests: str = NO_TESTS


class StepFailed(Exception):
    """A step without which nothing further can be tried; the text is the end of what it printed."""


def versions(lock: Path) -> dict[str, str]:
    """Read the packages and versions of a lock."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def with_pins(pyproject: str, pins: dict[str, str]) -> str:
    """`pyproject` with the pinned packages at `pins`; one that is missing there may have any version."""
    for package in PINNED:
        wanted = f"{package}=={pins[package]}" if package in pins else f"{package}>=0"
        pyproject, found = re.subn(rf'"{package}[=>]=[^"]*"', f'"{wanted}"', pyproject)
        if found != 1:
            raise StepFailed(f"pyproject.toml should pin {package} once, it does {found} times")
    return pyproject


def run(where: Path, *command: str, **variables: str) -> str:
    """Run a step in `where`; raises `StepFailed` with the end of its output."""
    done = subprocess.run(command, cwd=where, env=os.environ | variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepFailed("\n".join([f"{' '.join(command)}:", *(done.stdout + done.stderr).splitlines()[-15:]]))
    return done.stdout


def copy_tracked(source: Path, target: Path) -> None:
    """Copy what git tracks, as it lies here."""
    for name in run(source, "git", "ls-files", "-z").split("\0"):
        if name and (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def lock_newest(where: Path) -> dict[str, tuple[str, str]]:
    """Give the copy the newest pins and new locks; returns what changed. Raises `StepFailed`."""
    lock, pyproject = where / "requirements.lock", where / "pyproject.toml"
    before = versions(lock)
    run(where, sys.executable, "-m", "venv", "lock-venv")
    run(where, "lock-venv/bin/pip", "install", "--quiet", "uv")
    pyproject.write_text(with_pins(pyproject.read_text(encoding="utf-8"), {}), encoding="utf-8")
    (where / "newest.in").write_text("\n".join(PINNED), encoding="utf-8")
    run(where, "lock-venv/bin/uv", "pip", "compile", "--quiet", "--universal", "newest.in", "-o", "newest.lock")
    brought_along = versions(where / "newest.lock")
    run(where, "sh", "scripts/lock.sh", UV="lock-venv/bin/uv", UPGRADE_ONLY=" ".join(brought_along))
    after = versions(lock)
    pyproject.write_text(with_pins(pyproject.read_text(encoding="utf-8"), after), encoding="utf-8")
    names = sorted(before.keys() | after.keys())
    pairs = {name: (before.get(name, "-"), after.get(name, "-")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def boot_problems(where: Path) -> Iterator[str]:
    """Run the boot check in the copy; yields the lines that failed."""
    done = subprocess.run(
        [".venv/bin/python", "-m", "app.boot"], cwd=where, capture_output=True, text=True, check=False
    )
    print(done.stdout + done.stderr, flush=True)
    if done.returncode:
        yield from (f"boot check: {line}" for line in done.stdout.splitlines() if re.match(r"\s*(FAIL|boot)", line))


def run_tests(where: Path, arguments: list[str], answer: Answer) -> None:
    """Run the test-suite in the copy, shown as it goes; adds to `answer` what failed, why, and pytest's last line."""
    command = [".venv/bin/python", *PYTEST, *arguments]
    with subprocess.Popen(command, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = [_shown(line) for line in process.stdout or ()]
    problems = [line for line in lines if line.startswith(("FAILED tests", "ERROR tests"))]
    answer.causes.update(
        match[1] for line in lines if (match := re.match(r"(?:E  |/\S+:\d+:) +([\w.]*(?:Error|Warning).*)", line))
    )
    answer.tests = next(
        (line.strip("= ") for line in lines[::-1] if re.search(r"\d+ (passed|failed|error)", line)), NO_TESTS
    )
    if process.returncode and not problems:
        problems = [f"pytest ended with exit status {process.returncode}"]
    answer.problems += problems


def _shown(line: str) -> str:
    print(line, end="", flush=True)
    return line.rstrip()


def attempt(source: Path, where: Path, arguments: list[str]) -> Answer:
    """Try the newest versions in `where`."""
    answer = Answer()
    try:
        copy_tracked(source, where)
        answer.changed = lock_newest(where)
        if not any(package in answer.changed for package in PINNED):
            return answer
        print("Newest:", *(f"{name} {old} -> {new}" for name, (old, new) in answer.changed.items()), sep="\n  ")
        run(where, sys.executable, "-m", "venv", ".venv")
        run(where, ".venv/bin/pip", "install", "-q", "--no-deps", "--require-hashes", "-r", "requirements-dev.lock")
        answer.problems += boot_problems(where)
        run_tests(where, arguments, answer)
    except StepFailed as error:
        answer.problems.append(str(error))
    return answer


def print_verdict(answer: Answer) -> None:
    """Print what changed, what broke and whether the pins could be raised."""
    pins = ", ".join(f"{p} {'{} -> {}'.format(*answer.changed[p])}" for p in PINNED if p in answer.changed)
    print(f"\nTried: {pins or 'nothing, the pins are the newest versions'}; {answer.tests}.")
    for cause, count in answer.causes.most_common(8):
        print(f"  {count:4} times: {cause[:180]}")
    files = Counter(match[1] for p in answer.problems if (match := re.match(r"(?:FAILED|ERROR) ([^: ]+)", p)))
    for name, count in files.most_common():
        print(f"  {count:4} in {name}")
    print(*(f"  {problem}" for problem in answer.problems if not problem.startswith(("FAILED", "ERROR"))), sep="\n")
    print("The pins CANNOT be raised yet." if answer.problems else "The pins could be raised." if pins else "")


def main() -> int:
    """Try, print the verdict; 0 if the pins could be raised or are the newest."""
    parser = argparse.ArgumentParser(description="Try the newest supabase and realtime in a scratch environment.")
    parser.add_argument("arguments", nargs="*", default=FOLDERS, help="passed to pytest, to run less than all of it")
    arguments = parser.parse_args().arguments
    with tempfile.TemporaryDirectory(prefix="broadsheet-upgrade-") as folder:
        where = Path(folder)
        where.chmod(0o755)  # the tests' PostgreSQL runs as a user of its own, from here
        answer = attempt(Path(__file__).resolve().parent.parent, where, arguments)
    print_verdict(answer)
    return 1 if answer.problems else 0


if __name__ == "__main__":
    sys.exit(main())
