"""A small file system for the database, so that its disk can be full without filling the machine's."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SIZE = 1_500
"""MB."""
PIECES = (1 << 20, 1 << 12)
"""Bytes of the pieces that fill it: first large ones, then blocks."""


@dataclass(frozen=True)
class SmallDisk:
    """A mounted folder, and the file that fills it."""

    folder: Path

    @property
    def _file(self) -> Path:
        return self.folder / "fills-the-disk"

    def fill(self) -> None:
        """Use all space that is left, in pieces, because the database writes at the same time."""
        with self._file.open("wb") as file:
            size = 0
            for piece in PIECES:
                with suppress(_DiskFull):
                    while True:
                        _allocate(file.fileno(), size, piece)
                        size += piece

    def free(self) -> None:
        """Give the space back."""
        self._file.unlink()


class _DiskFull(Exception):
    """Not even one more piece fits."""


def _allocate(file: int, begin: int, size: int) -> None:
    try:
        os.posix_fallocate(file, begin, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _DiskFull from error


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
