"""A PostgreSQL server of our own: made, started and stopped as a child process, as an unprivileged user under root."""

import asyncio
import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from embedded.programs import PostgresError, Programs

START_WITHIN = 30.0
STOP_WITHIN = 20.0
LOOPBACK = "127.0.0.1"
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ServerOptions:
    """Which binaries serve which folder; `durable=False` trades safety for speed (tests)."""

    data: Path
    binaries: Path
    durable: bool = True
    settings: dict[str, str] = field(default_factory=dict)

    def flags(self, port: int) -> list[str]:
        """The server's settings, as its command line takes them."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "jit": "off",  # compiling costs more than these queries
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [part for name, value in (settings | self.settings).items() for part in ("-c", f"{name}={value}")]


class PostgresServer:
    """One server over one folder. It listens on loopback only; TCP alone, so no path is ever too long for a socket."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._programs = Programs(options.binaries)
        self._cluster = options.data / "cluster"
        self._password_file = options.data / "password"
        self._log = options.data / "postgres.log"
        self._log_start = 0
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def dsn(self) -> str:
        """The superuser's address, for psql and asyncpg."""
        return self.dsn_as("postgres")

    def dsn_as(self, user: str) -> str:
        """The address of a role with the same password."""
        return f"postgresql://{user}:{self.password}@{LOOPBACK}:{self.port}/postgres"

    @property
    def password(self) -> str:
        """The password of this folder's roles, made with it."""
        return self._password_file.read_text(encoding="ascii")

    async def start(self) -> None:
        """Make the cluster if the folder is empty, take it over if a server was left behind, and wait until it answers.

        Raises `PostgresError`.
        """
        self._take_folder()
        try:
            self._programs = self._programs.usable_from(self._options.data)
            if not self._cluster.exists():
                self._initialise()
            await self._end_orphan()
            self.port = _free_port()
            await self._run()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End all sessions, write everything, and stop; does nothing if it is not running."""
        await self._end()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def restart(self) -> None:
        """Stop and start on the same port, as a database that is restarted under its users."""
        await self._end()
        await self._run()

    async def ended(self) -> None:
        """Wait until the server has ended by itself."""
        while self._process is None or self._process.poll() is None:  # noqa: ASYNC110  (a child tells nobody)
            await asyncio.sleep(0.5)

    def _take_folder(self) -> None:
        self._options.data.mkdir(parents=True, exist_ok=True)
        self._programs.give(self._options.data)
        lock = os.open(self._options.data / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise PostgresError(f"{self._options.data} is in use by another stand-in: stop it or use --data") from None
        self._lock = lock

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there: one that was not finished is never taken for one."""
        unfinished = self._cluster.with_name("cluster.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_hex(16), encoding="ascii")
        self._programs.give(self._password_file)
        made = self._programs.run(
            "initdb",
            *("--pgdata", str(unfinished), "--username", "postgres", "--pwfile", str(self._password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        if made.returncode != 0:
            raise PostgresError(f"initdb failed in {self._options.data}: {made.stderr.strip()}")
        unfinished.rename(self._cluster)

    async def _run(self) -> None:
        """Start the server and wait until it answers. Raises `PostgresError`."""
        deadline = asyncio.get_running_loop().time() + START_WITHIN
        self._process = self._launch()
        while not await self._answers():
            if asyncio.get_running_loop().time() > deadline:
                raise PostgresError(f"PostgreSQL does not answer after {START_WITHIN:g} s:\n{self._last_words()}")
            if self._process.poll() is not None:
                if "still in use" not in self._last_words():
                    raise PostgresError(f"PostgreSQL did not start:\n{self._last_words()}")
                # Children of a server that was killed are about to notice it.
                self._process = self._launch()
            await asyncio.sleep(0.02)

    def _launch(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            return subprocess.Popen(  # noqa: S603  (our own binary)
                [self._programs.path("postgres"), "-D", str(self._cluster), *self._options.flags(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for us; the server is stopped in order
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (a single system call, and no thread runs yet)
                **self._programs.identity,
            )

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn, timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        if not await _wait_for(lambda: process.poll() is not None, STOP_WITHIN):
            process.send_signal(signal.SIGQUIT)
            process.wait()

    def _last_words(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-10:])

    async def _end_orphan(self) -> None:
        """Stop a server that a killed predecessor left on this folder."""
        pid_file = self._cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if _serves(pid, self._cluster):
            os.kill(pid, signal.SIGINT)
            if not await _wait_for(lambda: not _serves(pid, self._cluster), STOP_WITHIN):
                raise PostgresError(f"the server {pid} that was left on {self._cluster} does not stop: end it by hand")
        # PostgreSQL would take any process of this number for its server, be it a zombie that nobody collects.
        pid_file.unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """Have the kernel stop the server when this process is killed; elsewhere than on Linux the next start does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _serves(pid: int, cluster: Path) -> bool:
    """Whether this process is a PostgreSQL server over `cluster`: a pid alone may be another program's by now."""
    if Path("/proc/self/cmdline").exists():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
        except OSError:
            return False
        return str(cluster) in arguments
    listed = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return f" {cluster} " in listed.stdout


async def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True
