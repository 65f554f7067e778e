"""Data of emulators with the project's schema, created by the first process of a test run that needs it.

Creating a cluster and applying the migrations take a second of CPU time, a copy takes 50 ms.
"""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.stack_process import StackProcess


def prepare(emulator: StackProcess, shared: Path) -> None:
    """Give the emulator, which has no data yet, what an equal one left in `shared`; leave it there if there is none."""
    shared.mkdir(exist_ok=True)
    with _locked(shared / "lock"):
        if not (kept := shared / "data").exists():
            with emulator.running():
                pass
            shutil.rmtree(unfinished := shared / "data.new", ignore_errors=True)
            _copy(emulator.data, unfinished)
            unfinished.rename(kept)
            return
    _copy(kept, emulator.data)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Wait for the other processes of the run; the kernel unlocks the file of one that ends."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _copy(data: Path, to: Path) -> None:
    """Copy a folder with its owner, the server's user."""
    subprocess.run(["cp", "-a", data, to], check=True)
