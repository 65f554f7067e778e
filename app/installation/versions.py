"""Compares installed with locked versions: the part of the boot check that also runs at every start.

The reference is `requirements.lock` beside the code, from which the image was installed; the pins are the exact
dependencies in `pyproject.toml`.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
PYPROJECT = ROOT / "pyproject.toml"


@dataclass(frozen=True)
class Mismatch:
    """A package whose installed version (None: not installed) is not the required one; `by` is the requiring file."""

    package: str
    required: str
    installed: str | None
    by: str

    def __str__(self) -> str:
        """Describe the installed and the required version."""
        found = f"{self.installed} is installed" if self.installed else "it is not installed"
        return f"{self.package}: {found}, {self.by} requires {self.required}"


def locked_versions(lock: Path = LOCK) -> dict[str, str]:
    """Read a lock's packages and versions, those whose markers apply to this machine.

    Raises `ConfigurationError` if the file is missing or is not a lock.
    """
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
        requirements = [Requirement(line.rstrip("\\ ")) for line in lines if re.match(r"[A-Za-z0-9]", line)]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The lock {lock} cannot be read ({error}): put it beside the code.") from None
    if not requirements:
        raise ConfigurationError(f"The lock {lock} contains no package: create it again with `make lock`.")
    return dict(_exact(r) for r in requirements if r.marker is None or r.marker.evaluate())


def named_dependencies(pyproject: Path = PYPROJECT) -> list[Requirement]:
    """Read the dependencies in `pyproject.toml`. Raises `ConfigurationError` if it cannot be read."""
    try:
        listed = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]
        return list(map(Requirement, listed))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{pyproject} cannot be read ({error}): put it beside the code.") from None


def pinned_versions(pyproject: Path = PYPROJECT) -> dict[str, str]:
    """Read the dependencies that `pyproject.toml` pins to one version."""
    return dict(_exact(r) for r in named_dependencies(pyproject) if str(r.specifier).startswith("=="))


def not_locked(lock: Path = LOCK, pyproject: Path = PYPROJECT) -> list[Requirement]:
    """Return the dependencies in `pyproject.toml` that the lock lacks or has in another version: an outdated lock."""
    locked = {canonicalize_name(name): found for name, found in locked_versions(lock).items()}
    here = [r for r in named_dependencies(pyproject) if r.marker is None or r.marker.evaluate()]
    return [r for r in here if not _satisfied(r, locked.get(canonicalize_name(r.name)))]


def project_version(pyproject: Path = PYPROJECT) -> str:
    """Read the service's own version."""
    with pyproject.open("rb") as file:
        version: str = tomllib.load(file)["project"]["version"]
    return version


def mismatches(lock: Path = LOCK) -> list[Mismatch]:
    """Compare every package of the lock, and every pin, with what is installed."""
    return [*_compare(locked_versions(lock), lock.name), *_compare(pinned_versions(), PYPROJECT.name)]


def repair_command(lock: Path = LOCK) -> str:
    """Return the command that installs the lock's packages."""
    return f"python -m pip install --no-deps --require-hashes -r {lock}"


@cache
def require_locked_versions(lock: Path = LOCK) -> None:
    """Raise `ConfigurationError`, with every difference and the command that repairs them, unless all versions match.

    The result is cached, because installed packages do not change while a process runs.
    """
    if found := mismatches(lock):
        lines = [f"{len(found)} installed package(s) differ from the pinned ones:", *map(str, found)]
        raise ConfigurationError("\n  ".join(lines) + f"\nRepair with: {repair_command(lock)}")


def _exact(requirement: Requirement) -> tuple[str, str]:
    return requirement.name, str(requirement.specifier).removeprefix("==")


def _satisfied(requirement: Requirement, version: str | None) -> bool:
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _compare(required: dict[str, str], by: str) -> Iterator[Mismatch]:
    for package, expected in required.items():
        try:
            installed = version(package)
        except PackageNotFoundError:
            installed = None
        if installed != expected:
            yield Mismatch(package, expected, installed, by)
