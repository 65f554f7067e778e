"""The gateway's way to the database: each statement in a transaction of its own, as the caller's role."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias, TypeVar

import asyncpg

from embedded.auth import Caller
from embedded.errors import Refused, from_postgres
from embedded.sql import quoted
from embedded.statements import Statement

Pool: TypeAlias = "asyncpg.Pool"
Worded = TypeVar("Worded")


@dataclass(frozen=True)
class Result:
    """What a statement brought: the body as JSON text, its rows, all rows, and the rows that are new."""

    body: str | None
    rows: int
    total: int | None
    new: int


class Database:
    """A pool of connections; a request waits at most `pool_within` seconds for one."""

    def __init__(self, pool: Pool, pool_within: float) -> None:
        self._pool = pool
        self._pool_within = pool_within

    async def run(
        self, statement: Statement, caller: Caller, word: Callable[[Result], Worded], *, read_only: bool = False
    ) -> Worded:
        """Run the statement in a transaction of its own, as the caller's role, and word its result.

        Raises `Refused`; if `word` does, nothing has been changed.
        """
        with database_errors(anonymous=caller.anonymous):
            async with self._pool.acquire(timeout=self._pool_within) as connection:
                return await _in_transaction(connection, statement, caller, word, read_only=read_only)


@contextmanager
def database_errors(*, anonymous: bool = False) -> Iterator[None]:
    """Raise `Refused` for whatever the database or the way to it has against a request."""
    try:
        yield
    except TimeoutError:
        message = "Timed out acquiring connection from connection pool."
        raise Refused(HTTPStatus.GATEWAY_TIMEOUT, "PGRST003", message) from None
    except asyncpg.PostgresError as error:
        raise from_postgres(error, anonymous=anonymous) from None
    # asyncpg's "internal" error is what a connection raises that the server ended while nobody used it.
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        message = f"Database connection error. Retrying the connection. ({error})"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "PGRST001", message) from None


async def _in_transaction(
    connection: Any, statement: Statement, caller: Caller, word: Callable[[Result], Worded], *, read_only: bool
) -> Worded:
    mode = "read only" if read_only else "read write"
    claims = "'" + caller.claims.replace("'", "''") + "'"
    try:
        await connection.execute(
            f'begin {mode}; set local role {quoted(caller.role)}; set local "request.jwt.claims" = {claims}'
        )
        answer = word(Result(*await connection.fetchrow(statement.text, *statement.arguments)))
        await connection.execute("commit")
    except (asyncpg.PostgresError, asyncio.CancelledError, Refused):
        if not connection.is_closed():
            await connection.execute("rollback")
        raise
    except BaseException:
        connection.terminate()  # whatever state it is in, the next request gets another
        raise
    return answer
