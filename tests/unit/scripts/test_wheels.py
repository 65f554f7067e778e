"""Each locked package has a wheel for each supported Python: the list that `make wheels` writes, checked offline."""

import pytest
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from scripts.wheels import LISTED, LOCKS, PYTHONS, ROOT, Locked, read_lock

GLIBC = range(36, 4, -1)
"""The minor versions of glibc up to that of Debian 12."""
PLATFORMS = [*(f"manylinux_2_{minor}_x86_64" for minor in GLIBC), "manylinux2014_x86_64", "manylinux1_x86_64"]
LISTING = LISTED.read_text(encoding="utf-8")
LOCK = """
# A comment
one==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:aaaa1111aaaa1111aaaa1111aaaa1111aaaa1111aaaa1111aaaa1111aaaa1111 \\
    --hash=sha256:bbbb2222bbbb2222bbbb2222bbbb2222bbbb2222bbbb2222bbbb2222bbbb2222
    # via two
two==2.0 \\
    --hash=sha256:cccc3333cccc3333cccc3333cccc3333cccc3333cccc3333cccc3333cccc3333
"""


def tags_of(python: str) -> set[Tag]:
    """What an image with this version installs."""
    major, minor = (int(part) for part in python.split("."))
    own = cpython_tags((major, minor), platforms=PLATFORMS)
    return {*own, *compatible_tags((major, minor), f"cp{major}{minor}", PLATFORMS)}


def without_wheel(packages: list[Locked], listing: str, python: str) -> list[str]:
    """The packages without a listed wheel for this version whose hash is in the lock."""
    tags = tags_of(python)
    hashes: dict[str, set[str]] = {}
    for line in listing.splitlines():
        sha256, _, file = line.partition(" ")
        name, version, _, wheel_tags = parse_wheel_filename(file)
        if wheel_tags & tags:
            hashes.setdefault(f"{name}=={version}", set()).add(sha256)
    wanted = [package for package in packages if package.applies_to(python)]
    return [package.pin for package in wanted if not hashes.get(package.pin, set()) & set(package.hashes)]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_each_locked_package_has_a_wheel(lock: str, python: str) -> None:
    packages = read_lock((ROOT / lock).read_text(encoding="utf-8"))
    assert len(packages) > 40
    assert without_wheel(packages, LISTING, python) == [], "after a change of the locks: make wheels"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("uvloop-", "other-"),
        ("cp314-cp314-manylinux", "cp314-cp314t-manylinux"),
        ("manylinux", "musllinux"),
    ],
)
def test_a_missing_wheel_is_found(old: str, new: str) -> None:
    packages = read_lock((ROOT / LOCKS[0]).read_text(encoding="utf-8"))
    assert old in LISTING
    assert without_wheel(packages, LISTING.replace(old, new), "3.14") != []


def test_another_hash_than_the_locks_is_found() -> None:
    packages = read_lock((ROOT / LOCKS[0]).read_text(encoding="utf-8"))
    listing = "\n".join("0" * 64 + line[64:] for line in LISTING.splitlines())
    assert len(without_wheel(packages, listing, "3.14")) > 40


def test_a_lock_is_read_with_markers_and_hashes() -> None:
    one, two = read_lock(LOCK)
    assert (one.applies_to("3.11"), one.applies_to("3.12"), two.applies_to("3.14")) == (True, False, True)
    assert one.line == f"one==1.0 --hash=sha256:{'aaaa1111' * 8} --hash=sha256:{'bbbb2222' * 8}"
    assert two.hashes == ("cccc3333" * 8,)
