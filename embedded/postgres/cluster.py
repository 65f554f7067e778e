"""The folder of a PostgreSQL server: locks it, creates the cluster, and stops a server that a killed emulator left."""

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from embedded.postgres.programs import PostgresError, Programs

STOP_WITHIN = 20.0


class Cluster:
    """One folder, locked by one emulator at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password_file = folder / "password"
        self._lock: int | None = None
        self.data = folder / "cluster"
        self.log = folder / "postgres.log"

    @property
    def password(self) -> str:
        """The password of this folder's roles, created with the cluster."""
        return self._password_file.read_text(encoding="ascii")

    def lock(self, programs: Programs) -> None:
        """Lock the folder until `unlock()`. Raises `PostgresError` if another emulator uses it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        programs.give_to_server_user(self._folder)
        lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise PostgresError(
                f"{self._folder} is in use by another emulator: stop that `make up`, `make digest`, `make daily` or "
                "`make supabase` first (make supabase also takes another folder: ARGS='--data FOLDER')"
            ) from None
        self._lock = lock

    def unlock(self) -> None:
        """Let other emulators use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def make_ready(self, programs: Programs) -> None:
        """Create the cluster if there is none, and stop a leftover server. Raises `PostgresError`."""
        if not self.data.exists():
            self._initialise(programs)
        await self._end_orphan()

    def _initialise(self, programs: Programs) -> None:
        """Create the cluster under another name and rename it, so that an incomplete cluster is never used."""
        unfinished = self.data.with_name("cluster.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_hex(16), encoding="ascii")
        programs.give_to_server_user(self._password_file)
        made = programs.run(
            "initdb",
            *("--pgdata", str(unfinished), "--username", "postgres", "--pwfile", str(self._password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        if made.returncode != 0:
            raise PostgresError(f"initdb failed in {self._folder}: {made.stderr.strip()}")
        unfinished.rename(self.data)

    async def _end_orphan(self) -> None:
        """Stop a server that a killed emulator left running on this folder."""
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if _serves(pid, self.data):
            os.kill(pid, signal.SIGINT)
            if not await wait_for(lambda: not _serves(pid, self.data), STOP_WITHIN):
                raise PostgresError(f"PostgreSQL server {pid} on {self.data} does not stop: stop it manually")
        # PostgreSQL would mistake any process with this number for its server, even a zombie.
        pid_file.unlink(missing_ok=True)


async def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether `condition` became true within `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def _serves(pid: int, cluster: Path) -> bool:
    """Whether this process is a PostgreSQL server on `cluster`: the pid alone may belong to another program now."""
    if Path("/proc/self/cmdline").exists():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
        except OSError:
            return False
        return str(cluster) in arguments
    command = ["ps", "-o", "args=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (only a number varies)
    return f" {cluster} " in listed.stdout
