"""A real PgBouncer in front of a database, as Debian packages it."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import asyncpg
import pytest

from embedded.loopback import LOOPBACK, free_port

PGBOUNCER: Final = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(
    PGBOUNCER is None, reason="no PgBouncer on this machine (Debian package pgbouncer): the pooler was not tried"
)
Mode = Literal["transaction", "session", "statement"]

INI = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = {listen}
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 4
"""


@contextmanager
def pgbouncer(database_url: str, folder: Path, mode: Mode) -> Iterator[str]:
    """Run PgBouncer for a database; yields the database's URL behind it. All users can read `folder`."""
    assert PGBOUNCER is not None
    address, own_port = urlsplit(database_url), free_port()
    ini = folder / f"pgbouncer-{own_port}.ini"
    ini.write_text(
        INI.format(
            host=address.hostname, port=address.port, user=address.username, password=address.password,
            listen=LOOPBACK, own_port=own_port, mode=mode,
        ), encoding="utf-8",
    )  # fmt: skip
    # It refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    process = subprocess.Popen([PGBOUNCER, "--quiet", ini], user=user, cwd="/", stderr=subprocess.DEVNULL)
    try:
        yield address._replace(netloc=f"{address.username}@{LOOPBACK}:{own_port}").geturl()
    finally:
        process.kill()
        process.wait()


async def connected(pooler: str) -> asyncpg.Connection:
    """Connect through the pooler as soon as it listens."""
    while True:
        try:
            return await asyncpg.connect(pooler, statement_cache_size=0)
        except OSError:
            await asyncio.sleep(0.02)
