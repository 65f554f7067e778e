"""The processes that benchmarks start: the emulator on a temporary folder, and children that exchange lines of text."""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import ROOT
from embedded.stack import Ready

Child = subprocess.Popen[str]


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder that an unprivileged PostgreSQL can enter."""
    folder = Path(tempfile.mkdtemp(prefix="broadsheet-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def emulator(*, durable: bool = True) -> Iterator[Ready]:
    """Run the emulator with our schema, by default durable as `make supabase` runs it."""
    with scratch_folder() as folder, emulator_over(folder / "stack", durable=durable) as ready:
        yield ready


@contextmanager
def emulator_over(data: Path, *, durable: bool = True) -> Iterator[Ready]:
    """Run the emulator on a folder that is kept."""
    options = ["--data", str(data), "--migrations", str(ROOT / "supabase" / "migrations"), "--port", "0"]
    with child("embedded", "serve", *options, *([] if durable else ["--no-durable"])) as process:
        yield Ready(**json.loads(read_line(process)))


@contextmanager
def child(module: str, *arguments: str, env: Mapping[str, str] | None = None, quiet: bool = False) -> Iterator[Child]:
    """Run `python -m module` while the block runs, with pipes for its standard input and output.

    It shares this process's standard error, which is discarded if `quiet`.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def read_line(process: Child) -> str:
    """Read the child's next line. Raises `RuntimeError` if the child has ended."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} exited with {process.wait()} before it responded: run it manually")
    return line.strip()


def write_line(process: Child, line: str) -> None:
    """Send the child a line."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def resident_mb(pid: int | str = "self") -> float:
    """Resident memory of a process in MB (10^6 bytes), from Linux."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6
