"""The complete emulator: PostgreSQL, Supabase's roles and schemas, the migrations, and the gateway on a port."""

import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

import asyncpg

from embedded.loopback import LOOPBACK
from embedded.postgres.programs import bundled_binaries
from embedded.postgres.project import prepare
from embedded.postgres.server import PostgresServer, ServerOptions
from embedded.postgrest.auth import Keys
from embedded.postgrest.limits import GatewayLimits
from embedded.postgrest.server import GatewayServer
from scripts.migrate import MigrationError, UnreleasedDatabase, migrate

POOL_SIZE = 20


@dataclass(frozen=True)
class StackOptions:
    """The emulator's folder, port (0: a free one) and options."""

    data: Path
    port: int = 54321
    migrations: Path | None = None
    jwt_secret: str | None = None
    binaries: Path | None = None
    durable: bool = True
    pool_size: int = POOL_SIZE
    limits: GatewayLimits = field(default_factory=GatewayLimits)


@dataclass(frozen=True)
class Ready:
    """The addresses and keys that a client needs."""

    url: str
    service_role_key: str
    secret_key: str
    anon_key: str
    database_url: str

    def as_dict(self) -> dict[str, str]:
        """The fields of the line that `serve` prints."""
        return asdict(self)


class Stack:
    """An emulator; tests can stop and start `server` and the gateway separately, to simulate faults."""

    def __init__(self, options: StackOptions) -> None:
        self._options = options
        self.server = PostgresServer(
            ServerOptions(options.data, options.binaries or bundled_binaries(), durable=options.durable)
        )
        self.ready: Ready | None = None
        self._port = options.port
        self._keys: Keys | None = None
        self._gateway: GatewayServer | None = None

    async def start(self) -> Ready:
        """Start everything; returns addresses and keys. Raises `PostgresError`, `MigrationError`, `OSError`."""
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
        """Start the gateway, after a stop on the same port."""
        assert self._keys is not None  # noqa: S101  (start() comes first)
        api_dsn = self.server.dsn_as("authenticator")
        self._gateway = GatewayServer(
            self.server.dsn, api_dsn, self._keys, self._options.limits, self._options.pool_size
        )
        self._port = await self._gateway.start(self._port)

    async def stop_gateway(self) -> None:
        """Stop only the gateway; the database keeps running."""
        if self._gateway is not None:
            await self._gateway.stop()
            self._gateway = None

    async def _prepare_database(self) -> None:
        connection = await asyncpg.connect(self.server.dsn)
        try:
            await prepare(connection, self.server.password, safe_update=self._options.limits.safe_update)
            if self._options.migrations is not None:
                await migrate(connection, self._options.migrations)
        except UnreleasedDatabase:
            raise MigrationError(f"database of an unreleased version: remove {self._options.data}") from None
        except MigrationError as error:
            raise MigrationError(f"{error}; or start with an empty database: remove {self._options.data}") from None
        finally:
            await connection.close()


def _kept_secret(data: Path) -> str:
    """The JWT secret of this folder, created once, so that keys stay valid after a restart."""
    file = data / "jwt-secret"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32), encoding="ascii")
    return file.read_text(encoding="ascii")
