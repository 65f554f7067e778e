"""A small file system for the database, so that its disk can be full without filling the machine's."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIZE = 1_500
"""MB."""


@dataclass(frozen=True)
class SmallDisk:
    """A mounted folder, and the file that fills it."""

    folder: Path

    @property
    def _file(self) -> Path:
        return self.folder / "fills-the-disk"

    def fill(self) -> None:
        """Use all space that is left."""
        with self._file.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(self.folder).free)

    def free(self) -> None:
        """Give the space back."""
        self._file.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk | None]:
    """Mount a file system in memory on a new folder while the block runs; yields None where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m,mode=755", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
