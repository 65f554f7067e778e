"""Compares installed files with their package's RECORD: the boot check's test for altered or missing files.

Format: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

import base64
import csv
import hashlib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path


def altered_files(packages: Iterable[str]) -> list[str]:
    """Describe each file of `packages` that differs from its RECORD; packages that are not installed are skipped."""
    return [problem for package in packages for problem in _altered(package)]


def _altered(package: str) -> Iterator[str]:
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        return
    record = installed.read_text("RECORD")
    if record is None:
        yield f"{package} has no RECORD"
        return
    for row in csv.reader(record.splitlines()):
        yield from _checked(package, installed, row)


def _checked(package: str, installed: Distribution, row: list[str]) -> Iterator[str]:
    """Check one row: path, `algorithm=digest`, size. RECORD itself and compiled files have no digest."""
    path, digest, *_ = *row, "", ""
    if not digest:
        return
    file = Path(str(installed.locate_file(path)))
    try:
        with file.open("rb") as content:
            found = hashlib.file_digest(content, digest.partition("=")[0]).digest()
    except (OSError, ValueError) as error:
        yield f"{package}: {path} cannot be compared ({error})"
        return
    if base64.urlsafe_b64encode(found).decode().rstrip("=") != digest.partition("=")[2]:
        yield f"{package}: {path} has been altered since it was installed"
