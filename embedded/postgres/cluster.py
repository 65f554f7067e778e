"""The folder of a PostgreSQL server: who holds it, how it is made, and what a killed predecessor left on it."""

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
    """One folder, held by one emulator at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password_file = folder / "password"
        self._lock: int | None = None
        self.data = folder / "cluster"
        self.log = folder / "postgres.log"

    @property
    def password(self) -> str:
        """The password of this folder's roles, made with it."""
        return self._password_file.read_text(encoding="ascii")

    def take(self, programs: Programs) -> None:
        """Hold the folder against others until `leave`. Raises `PostgresError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        programs.give(self._folder)
        lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise PostgresError(
                f"{self._folder} is in use by another emulator: stop that `make up`, `make digest` or `make supabase` "
                "first (make supabase also takes another folder: ARGS='--data FOLDER')"
            ) from None
        self._lock = lock

    def leave(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def make_ready(self, programs: Programs) -> None:
        """Make the cluster if there is none, and end a server that was left on it. Raises `PostgresError`."""
        if not self.data.exists():
            self._initialise(programs)
        await self._end_orphan()

    def _initialise(self, programs: Programs) -> None:
        """Make the cluster beside its place and move it there: one that was not finished is never taken for one."""
        unfinished = self.data.with_name("cluster.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_hex(16), encoding="ascii")
        programs.give(self._password_file)
        made = programs.run(
            "initdb",
            *("--pgdata", str(unfinished), "--username", "postgres", "--pwfile", str(self._password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        if made.returncode != 0:
            raise PostgresError(f"initdb failed in {self._folder}: {made.stderr.strip()}")
        unfinished.rename(self.data)

    async def _end_orphan(self) -> None:
        """SkipDelivery a server that a killed predecessor left on this folder."""
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if _serves(pid, self.data):
            os.kill(pid, signal.SIGINT)
            if not await wait_for(lambda: not _serves(pid, self.data), STOP_WITHIN):
                raise PostgresError(f"the server {pid} that was left on {self.data} does not stop: end it by hand")
        # PostgreSQL would take any process of this number for its server, be it a zombie that nobody collects.
        pid_file.unlink(missing_ok=True)


async def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` came true within so many seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def _serves(pid: int, cluster: Path) -> bool:
    """Whether this process is a PostgreSQL server over `cluster`: a pid alone may be another program's by now."""
    if Path("/proc/self/cmdline").exists():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
        except OSError:
            return False
        return str(cluster) in arguments
    command = ["ps", "-o", "args=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (a number alone varies)
    return f" {cluster} " in listed.stdout
