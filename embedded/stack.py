"""The whole stand-in: PostgreSQL, the project's roles, its migrations, and the gateway on a port."""

import asyncio
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import asyncpg
import uvicorn

from embedded.auth import Keys
from embedded.catalog import Catalog, Snapshot, read_catalog
from embedded.database import Pool, database_errors
from embedded.errors import Refused
from embedded.gateway import Gateway, Limits
from embedded.migrations import migrate
from embedded.postgres import LOOPBACK, PostgresServer, ServerOptions
from embedded.programs import PostgresError, bundled_binaries

POOL_SIZE = 20

ROLES = """
do $$ begin
    if not exists (select from pg_roles where rolname = 'anon') then
        create role anon nologin noinherit;
        create role authenticated nologin noinherit;
        create role service_role nologin noinherit bypassrls;
        create role authenticator login noinherit;
        grant anon, authenticated, service_role to authenticator;
    end if;
end $$;
-- Supabase's limit for statements of the API.
alter role authenticator set statement_timeout = '8s';
"""


@dataclass(frozen=True)
class StackOptions:
    """Where the stand-in lives and listens; port 0 takes a free one."""

    data: Path
    port: int = 54321
    migrations: Path | None = None
    jwt_secret: str | None = None
    binaries: Path | None = None
    durable: bool = True
    pool_size: int = POOL_SIZE
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Ready:
    """What a client needs to know."""

    url: str
    service_role_key: str
    secret_key: str
    anon_key: str
    database_url: str

    def as_dict(self) -> dict[str, str]:
        """The fields of the line that `serve` prints."""
        return asdict(self)


class Stack:
    """A stand-in; `server` and the gateway can be stopped and started one by one, as faults would."""

    def __init__(self, options: StackOptions) -> None:
        self._options = options
        self.server = PostgresServer(
            ServerOptions(options.data, options.binaries or bundled_binaries(), durable=options.durable)
        )
        self.ready: Ready | None = None
        self._port = options.port
        self._keys: Keys | None = None
        self._gateway: _GatewayProcess | None = None

    async def start(self) -> Ready:
        """Start everything; returns what a client needs. Raises `PostgresError`, `MigrationError`, `OSError`."""
        await self.server.start()
        try:
            await self._prepare_database()
            self._keys = Keys(self._options.jwt_secret or _kept_secret(self._options.data))
            await self.start_gateway()
        except BaseException:
            await self.stop()
            raise
        url = f"http://{LOOPBACK}:{self._port}"
        keys = self._keys
        self.ready = Ready(url, keys.service_role, keys.secret, keys.anon, self.server.dsn)
        return self.ready

    async def stop(self) -> None:
        """Stop the gateway, then the database."""
        await self.stop_gateway()
        await self.server.stop()

    async def start_gateway(self) -> None:
        """Start the gateway, on the port it had before if it had one."""
        assert self._keys is not None  # noqa: S101  (start() comes first)
        self._gateway = _GatewayProcess(self.server, self._keys, self._options)
        self._port = await self._gateway.start(self._port)

    async def stop_gateway(self) -> None:
        """Stop the gateway alone; the database goes on."""
        if self._gateway is not None:
            await self._gateway.stop()
            self._gateway = None

    async def _prepare_database(self) -> None:
        connection = await asyncpg.connect(self.server.dsn)
        try:
            await connection.execute(ROLES)
            password = self.server.password
            await connection.execute(f"alter role authenticator password '{password}'")
            if self._options.migrations is not None:
                await migrate(connection, self._options.migrations)
        finally:
            await connection.close()


class _GatewayProcess:
    """The gateway's parts: its pool, its schema cache and who keeps that fresh, its HTTP server."""

    def __init__(self, server: PostgresServer, keys: Keys, options: StackOptions) -> None:
        self._server = server
        self._keys = keys
        self._options = options
        self._tasks: list[asyncio.Task[None]] = []
        self._pool: Pool | None = None
        self._http: _Server | None = None

    async def start(self, port: int) -> int:
        listening = _listen(port)
        # No minimum: keeping one would fill the log while the database is away.
        self._pool = await asyncpg.create_pool(
            self._server.dsn_as("authenticator"), min_size=0, max_size=self._options.pool_size, reset=_keep
        )
        catalog = Catalog(self._read_catalog)
        await catalog.reload()
        config = uvicorn.Config(
            Gateway(self._pool, catalog, self._keys, self._options.limits),
            interface="asgi3",
            http="httptools",
            lifespan="off",
            log_config=None,
            access_log=False,
            # Longer than the client keeps an idle connection, so that never both use it and close it at once.
            timeout_keep_alive=75,
        )
        self._http = _Server(config)
        self._tasks = [
            asyncio.create_task(self._http.serve(sockets=[listening])),
            asyncio.create_task(self._reload_on_notify(catalog)),
        ]
        while not self._http.started:  # noqa: ASYNC110  (uvicorn tells by an attribute)
            await asyncio.sleep(0.005)
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        if self._http is not None:
            self._http.should_exit = True
            self._http.force_exit = True
            await self._tasks[0]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pool is not None:
            self._pool.terminate()

    async def _read_catalog(self) -> Snapshot:
        with database_errors():
            connection = await asyncpg.connect(self._server.dsn)
            try:
                return await read_catalog(connection)
            finally:
                await connection.close()

    async def _reload_on_notify(self, catalog: Catalog) -> None:
        """Listen as PostgREST does (`NOTIFY pgrst, 'reload schema'`); begin again when the database was away."""
        while True:
            gone = asyncio.Event()
            wanted: asyncio.Queue[str] = asyncio.Queue()
            with suppress(OSError, asyncpg.PostgresError, Refused):
                connection = await asyncpg.connect(self._server.dsn)
                connection.add_termination_listener(lambda _connection, gone=gone: gone.set())
                await connection.add_listener("pgrst", lambda *event, wanted=wanted: wanted.put_nowait(event[-1]))
                try:
                    await _reload_until(gone, wanted, catalog)
                finally:
                    await connection.close(timeout=1)
            await asyncio.sleep(0.5)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: whoever runs the stack decides when it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _reload_until(gone: asyncio.Event, wanted: "asyncio.Queue[str]", catalog: Catalog) -> None:
    ended = asyncio.create_task(gone.wait())
    try:
        while not gone.is_set():
            waiting = asyncio.create_task(wanted.get())
            await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.cancel():
                await catalog.reload()
    finally:
        ended.cancel()


async def _keep(_connection: object) -> None:
    """Instead of asyncpg's reset, a round trip: whatever a request sets ends with its transaction."""


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
    except OSError as error:
        listening.close()
        raise PostgresError(f"port {port} cannot be had ({error.strerror}): use --port with another, or 0") from None
    return listening


def _kept_secret(data: Path) -> str:
    """The JWT secret of this folder, made once, so that keys stay valid over restarts."""
    file = data / "jwt-secret"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32), encoding="ascii")
    return file.read_text(encoding="ascii")
