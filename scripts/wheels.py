"""Lists the wheels of the locks for each supported Python: `make wheels`, after `make lock`.

pip resolves the locks with their hashes, for Linux on the machine's processor. A package without a wheel fails it,
because an image would have to compile that package. tests/unit/scripts/test_wheels.py checks the list offline.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
LISTED = ROOT / "tests" / "data" / "wheels.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The supported versions. The workflow runs the tests on each."""

PATCH = ".9"
"""Some markers name a patch version. Every image has a later one than those."""

RESOLVE = (
    *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps"),
    # pip compares the packages' own requirements with the Python that runs it. uv has compared them already.
    *("--require-hashes", "--only-binary", ":all:", "--implementation", "cp", "--ignore-requires-python"),
)

HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Locked:
    """A package of a lock: its name, version and the hashes of all its files."""

    requirement: Requirement
    hashes: tuple[str, ...]

    def applies_to(self, python: str) -> bool:
        """Whether a CPython of this version on Linux installs it."""
        full = {"python_version": python, "python_full_version": f"{python}{PATCH}", "sys_platform": "linux"}
        marker = self.requirement.marker
        return marker is None or marker.evaluate(full | {"platform_python_implementation": "CPython"})

    @property
    def pin(self) -> str:
        """The normalized name and the version."""
        (pin,) = self.requirement.specifier
        return f"{canonicalize_name(self.requirement.name)}=={pin.version}"

    @property
    def line(self) -> str:
        """The package with its hashes and without its marker, as pip reads it."""
        hashes = " ".join(f"--hash=sha256:{value}" for value in self.hashes)
        return f"{self.pin} {hashes}"


def read_lock(text: str) -> list[Locked]:
    """Return the packages of a lock that `uv pip compile --generate-hashes` wrote."""
    entries = re.split(r"^(?=[a-zA-Z0-9])", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    return [
        Locked(Requirement(entry.partition("\\")[0].strip()), tuple(HASH.findall(entry)))
        for entry in entries
        if entry.strip()
    ]


def wheels_for(lock: Path, python: str) -> Iterator[str]:
    """Yield `sha256 file` of each wheel that pip chooses for this version. Raises `CalledProcessError`."""
    packages = [package for package in read_lock(lock.read_text(encoding="utf-8")) if package.applies_to(python)]
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder) / "wanted.txt", Path(folder) / "report.json"
        wanted.write_text("\n".join(package.line for package in packages))
        chosen = ["--python-version", f"{python}{PATCH}", "--target", folder, "--report", str(report)]
        subprocess.run([*RESOLVE, *chosen, "-r", str(wanted)], check=True)
        for found in json.loads(report.read_text())["install"]:
            place = found["download_info"]
            file = unquote(urlsplit(place["url"]).path).rpartition("/")[2]
            yield f"{place['archive_info']['hashes']['sha256']} {file}"


def main() -> int:
    """Write the list; return 1 if a package has no wheel for a version."""
    # The larger lock contains the smaller one: `make lock` constrains it.
    try:
        found = {line for python in PYTHONS for line in wheels_for(ROOT / LOCKS[1], python)}
    except subprocess.CalledProcessError as error:
        print("wheels: pip found no wheel for a locked package (its message is above)", file=sys.stderr)
        return error.returncode
    LISTED.write_text("\n".join(sorted(found, key=lambda line: line.partition(" ")[2])) + "\n", encoding="utf-8")
    print(f"{len(found)} wheels for Python {', '.join(PYTHONS)}: {LISTED.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
