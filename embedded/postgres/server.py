"""Starts and stops a PostgreSQL server as a child process; root starts it as an unprivileged user."""

import asyncio
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from embedded.loopback import LOOPBACK, free_port
from embedded.parent_death import signal_at_parent_death
from embedded.postgres.cluster import STOP_WITHIN, Cluster, wait_for
from embedded.postgres.programs import PostgresError, Programs

START_WITHIN = 30.0


@dataclass(frozen=True)
class ServerOptions:
    """The server's folder, binaries and settings; `durable=False` is faster, but a crash can lose data (for tests)."""

    data: Path
    binaries: Path
    durable: bool = True
    settings: dict[str, str] = field(default_factory=dict)

    def flags(self, port: int) -> list[str]:
        """The settings as arguments of the server's command line."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "jit": "off",  # compilation takes longer than these queries
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
            # Write no more of the log than a restart needs, and no file of zeros before it.
            settings |= {"wal_level": "minimal", "max_wal_senders": "0", "wal_init_zero": "off"}
        return [part for name, value in (settings | self.settings).items() for part in ("-c", f"{name}={value}")]


class PostgresServer:
    """One server on one folder. It listens on loopback TCP only: a socket path could be too long."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._programs = Programs(options.binaries)
        self._cluster = Cluster(options.data)
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def dsn(self) -> str:
        """The superuser's connection URL, for psql and asyncpg."""
        return self.dsn_as("postgres")

    def dsn_as(self, user: str) -> str:
        """The connection URL of a role with the same password."""
        return f"postgresql://{user}:{self.password}@{LOOPBACK}:{self.port}/postgres"

    @property
    def password(self) -> str:
        """The password of this folder's roles, created with the cluster."""
        return self._cluster.password

    async def start(self) -> None:
        """Create the cluster if the folder is empty, stop a leftover server, start, and wait for connections.

        Raises `PostgresError`.
        """
        self._cluster.lock(self._programs)
        try:
            self._programs = self._programs.usable_from(self._options.data)
            await self._cluster.make_ready(self._programs)
            self.port = free_port()
            await self._run()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End all sessions, write all data and stop; does nothing if it is not running."""
        await self._end()
        self._cluster.unlock()

    async def restart(self) -> None:
        """Stop and start on the same port, as a database that restarts while clients use it."""
        await self._end()
        await self._run()

    async def ended(self) -> None:
        """Wait until the server process has exited."""
        while self._process is None or self._process.poll() is None:  # noqa: ASYNC110  (Popen has no event)
            await asyncio.sleep(0.5)

    async def _run(self) -> None:
        """Start the server and wait until it accepts connections. Raises `PostgresError`."""
        deadline = asyncio.get_running_loop().time() + START_WITHIN
        self._process = self._launch()
        while not await self._accepts_connections():
            if asyncio.get_running_loop().time() > deadline:
                raise PostgresError(f"PostgreSQL accepts no connection after {START_WITHIN:g} s:\n{self._log_tail()}")
            if self._process.poll() is not None:
                if "still in use" not in self._log_tail():
                    raise PostgresError(f"PostgreSQL did not start:\n{self._log_tail()}")
                # The children of a killed server have not exited yet.
                self._process = self._launch()
            await asyncio.sleep(0.02)

    def _launch(self) -> "subprocess.Popen[bytes]":
        with self._cluster.log.open("ab") as log:
            self._log_start = log.tell()
            return subprocess.Popen(  # noqa: S603  (our own binary)
                [self._programs.path("postgres"), "-D", str(self._cluster.data), *self._options.flags(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the server in order
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (a single system call, and no thread runs yet)
                **self._programs.identity,
            )

    async def _accepts_connections(self) -> bool:
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
        if not await wait_for(lambda: process.poll() is not None, STOP_WITHIN):
            process.send_signal(signal.SIGQUIT)
            process.wait()

    def _log_tail(self) -> str:
        with self._cluster.log.open("rb") as log:
            log.seek(self._log_start)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-10:])


def _die_with_parent() -> None:
    """Make the kernel stop the server when this process is killed; without Linux, the next start stops it."""
    signal_at_parent_death(signal.SIGINT)
