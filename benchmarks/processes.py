"""The processes that benchmarks start: the emulator over a folder of its own, and children that speak in lines."""

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
    """A folder that an unprivileged PostgreSQL may enter; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="broadsheet-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def emulator(*, durable: bool = True) -> Iterator[Ready]:
    """The emulator with the project's schema, durable as `make supabase` runs it unless said otherwise."""
    with scratch_folder() as folder, stand_in_over(folder / "stack", durable=durable) as ready:
        yield ready


@contextmanager
def stand_in_over(data: Path, *, durable: bool = True) -> Iterator[Ready]:
    """The emulator over a folder, which keeps what it holds."""
    options = ["--data", str(data), "--migrations", str(ROOT / "supabase" / "migrations"), "--port", "0"]
    with child("embedded", "serve", *options, *([] if durable else ["--no-durable"])) as process:
        yield Ready(**json.loads(hear(process)))


@contextmanager
def child(module: str, *arguments: str, env: Mapping[str, str] | None = None, quiet: bool = False) -> Iterator[Child]:
    """Run `python -m module`, with pipes for its standard input and output; ended with the block if it still runs.

    Its standard error is this process's, or nobody's if `quiet`.
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


def hear(process: Child) -> str:
    """The child's next line. Raises `RuntimeError` if it ended instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended with {process.wait()} before it answered: run it by hand")
    return line.strip()


def tell(process: Child, line: str) -> None:
    """Send the child a line."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def resident_mb(pid: int | str = "self") -> float:
    """Resident memory of a process in MB (10^6 bytes), as Linux tells it."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6
