"""Installed against locked versions: the part of the boot check that also runs at every start.

The truth is `requirements.lock` beside the code, the file that the image was installed from; the pins are the exact
dependencies in `pyproject.toml`. Neither is typed again here.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from app.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PYPROJECT = ROOT / "pyproject.toml"


@dataclass(frozen=True)
class Mismatch:
    """A package whose installed version (None: not installed) is not the wanted one; `by` names who wants it."""

    package: str
    wanted: str
    installed: str | None
    by: str

    def __str__(self) -> str:
        """Say what is installed and what should be."""
        found = f"{self.installed} is installed" if self.installed else "it is not installed"
        return f"{self.package}: {found}, {self.by} has {self.wanted}"


def locked_versions(lock: Path = LOCK) -> dict[str, str]:
    """Read the packages and versions of a lock, those whose markers hold on this machine.

    Raises `ConfigurationError` if there is no such file, or nothing in it.
    """
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(
            f"The lock {lock} cannot be read ({error.strerror}): put it beside the code."
        ) from None
    requirements = [Requirement(line.rstrip("\\ ")) for line in lines if re.match(r"[A-Za-z0-9]", line)]
    if not requirements:
        raise ConfigurationError(f"The lock {lock} names no package: make it anew with `make lock`.")
    return dict(_exact(r) for r in requirements if r.marker is None or r.marker.evaluate())


def pinned_versions(pyproject: Path = PYPROJECT) -> dict[str, str]:
    """Read the dependencies that `pyproject.toml` pins to one version."""
    with pyproject.open("rb") as file:
        listed = tomllib.load(file)["project"]["dependencies"]
    exact = [r for r in map(Requirement, listed) if str(r.specifier).startswith("==")]
    return dict(_exact(r) for r in exact)


def project_version(pyproject: Path = PYPROJECT) -> str:
    """Read the service's own version."""
    with pyproject.open("rb") as file:
        version: str = tomllib.load(file)["project"]["version"]
    return version


def mismatches(lock: Path = LOCK) -> list[Mismatch]:
    """Compare every package of the lock, and every pin, with what is installed."""
    return [*_compare(locked_versions(lock), lock.name), *_compare(pinned_versions(), PYPROJECT.name)]


def repair_command(lock: Path = LOCK) -> str:
    """The command that installs what the lock wants."""
    return f"python -m pip install --no-deps --require-hashes -r {lock}"


def require_locked_versions(lock: Path = LOCK) -> None:
    """Raise `ConfigurationError`, naming every difference and the command that repairs it, unless all match."""
    if found := mismatches(lock):
        lines = [f"{len(found)} installed package(s) differ from the pinned ones:", *map(str, found)]
        raise ConfigurationError("\n  ".join(lines) + f"\nRepair with: {repair_command(lock)}")


def _exact(requirement: Requirement) -> tuple[str, str]:
    return requirement.name, str(requirement.specifier).removeprefix("==")


def _compare(wanted: dict[str, str], by: str) -> Iterator[Mismatch]:
    for package, expected in wanted.items():
        try:
            installed = version(package)
        except PackageNotFoundError:
            installed = None
        if installed != expected:
            yield Mismatch(package, expected, installed, by)
