"""The boot check compares every package of the lock and every pin: it fails for each one that differs."""

import importlib.metadata
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from app.boot import CheckFailed, check_versions
from app.errors import ConfigurationError
from app.installation import versions
from app.installation.versions import (
    LOCK,
    PYPROJECT,
    locked_versions,
    not_locked,
    pinned_versions,
    require_locked_versions,
)

CHANGED = "0.0.1"
PINS = sorted(pinned_versions())
PACKAGES = sorted(locked_versions())

Install = Callable[[str, str], None]


@cache
def installed_version(package: str) -> str:
    """The version that is installed, read once: each of the tests compares all packages."""
    return importlib.metadata.version(package)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Let a package appear to be installed in another version."""

    def installed(package: str, version: str) -> None:
        def version_of(name: str) -> str:
            return version if name == package else installed_version(name)

        monkeypatch.setattr(versions, "version", version_of)

    return installed


def with_change(file: Path, old: str, new: str, folder: Path) -> Path:
    """Write a copy of `file` in which `old`, which it must have, is `new`."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    changed = folder / file.name
    changed.write_text(text.replace(old, new), encoding="utf-8")
    return changed


@pytest.mark.parametrize("package", PACKAGES)
def test_another_installed_version_of_any_package_fails(package: str, install: Install) -> None:
    install(package, CHANGED)
    require_locked_versions.cache_clear()
    with pytest.raises(ConfigurationError, match=rf"\n  {package}: {CHANGED} is installed"):
        require_locked_versions()


@pytest.mark.parametrize("pin", PINS)
def test_the_check_names_a_pin_installed_in_another_version(pin: str, install: Install) -> None:
    install(pin, CHANGED)
    with pytest.raises(CheckFailed, match=rf"(^|; ){pin}: {CHANGED} is installed"):
        check_versions(LOCK)


@pytest.mark.parametrize("pin", PINS)
def test_a_lock_with_another_version_of_a_pin_fails(pin: str, tmp_path: Path) -> None:
    lock = with_change(LOCK, f"\n{pin}=={pinned_versions()[pin]}", f"\n{pin}=={CHANGED}", tmp_path)
    with pytest.raises(CheckFailed, match=rf"lacks dependencies of pyproject\.toml: .*{pin}=="):
        check_versions(lock)


@pytest.mark.parametrize("pin", PINS)
def test_another_pin_than_the_lock_has_is_found(pin: str, tmp_path: Path) -> None:
    pyproject = with_change(PYPROJECT, f"{pin}=={pinned_versions()[pin]}", f"{pin}=={CHANGED}", tmp_path)
    assert [each.name for each in not_locked(LOCK, pyproject)] == [pin]


@pytest.mark.parametrize("pin", PINS)
def test_a_pin_counts_though_the_lock_lacks_it(pin: str, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start compares the pins too: a lock that lost one must not let another version pass."""
    without = {name: version for name, version in locked_versions().items() if name != pin}
    monkeypatch.setattr(versions, "locked_versions", lambda _lock=LOCK: without)
    install(pin, CHANGED)
    assert [(found.package, found.installed, found.by) for found in versions.mismatches()] == [
        (pin, CHANGED, "pyproject.toml")
    ]
