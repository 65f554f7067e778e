"""The gateway's way to the database: each statement in a transaction of its own, as the caller's role."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias, TypeVar

import asyncpg

from embedded.postgrest.auth import Caller
from embedded.postgrest.errors import Refused, from_postgres
from embedded.postgrest.statements import Statement

RUN = "select * from embedded.run_as($1, $2, $3, $4, $5)"

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

    def __init__(self, dsn: str, size: int, pool_within: float) -> None:
        self._pool: Pool = asyncpg.create_pool(
            dsn,
            min_size=0,  # keeping one would fill the log while the database is away
            max_size=size,
            # The pool ends none by itself: whichever is lost while idle was ended by the database.
            max_inactive_connection_lifetime=0,
            max_queries=sys.maxsize,
            init=self._watch,
            reset=_keep,
        )
        self._pool_within = pool_within
        self._in_use: set[int] = set()
        self._lost = 0

    async def open(self) -> None:
        """Make the pool usable; connections are made as requests need them."""
        await self._pool

    def close(self) -> None:
        """End every connection at once."""
        self._pool.terminate()

    async def run(
        self,
        statement: Statement,
        caller: Caller,
        word: Callable[[Result], Worded],
        *,
        read_only: bool = False,
        tentative: bool = False,
    ) -> Worded:
        """Run the statement in a transaction of its own, as the caller's role, and word its result.

        Raises `Refused`; if `word` does and the statement was `tentative`, nothing has been changed.
        """
        if self._lost:
            self._lost -= 1
            raise _lost_connection()
        with database_errors(anonymous=caller.anonymous):
            async with self._pool.acquire(timeout=self._pool_within) as connection:
                number = connection.get_server_pid()
                self._in_use.add(number)
                try:
                    # A statement alone is one round trip, and a transaction of its own.
                    async with connection.transaction() if tentative else nullcontext():
                        return word(await _result(connection, statement, caller, read_only=read_only))
                except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                    connection.terminate()  # whatever state it is in, the next request gets another
                    raise
                finally:
                    if not connection.is_closed():
                        self._in_use.discard(number)

    async def _watch(self, connection: Any) -> None:
        """Count this connection when it is lost while idle."""
        number = connection.get_server_pid()

        def lost(_connection: object) -> None:
            if number in self._in_use:
                self._in_use.discard(number)
            else:
                self._lost += 1

        connection.add_termination_listener(lost)


@contextmanager
def database_errors(*, anonymous: bool) -> Iterator[None]:
    """Raise `Refused` for whatever the database or the way to it has against a request."""
    try:
        yield
    except TimeoutError:
        message = "Timed out acquiring connection from connection pool."
        raise Refused(HTTPStatus.GATEWAY_TIMEOUT, "PGRST003", message) from None
    except asyncpg.PostgresError as error:
        raise from_postgres(error, anonymous=anonymous) from None
    # PostgREST's words: for a connection that could not be made, and for one that was lost.
    except OSError as error:
        message = "Database connection error. Retrying the connection."
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "PGRST000", message, details=str(error)) from None
    # asyncpg's "internal" error is what a connection raises that the server ended while nobody used it.
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        message = "Database client error. Retrying the connection."
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "PGRST001", message, details=str(error)) from None


def _lost_connection() -> Refused:
    """PostgREST hands a pooled connection that a crash has ended to one more request, and answers with this (14.12).

    asyncpg does not tell a crash from an ordered end, so after either. See PostgREST's issue 4681.
    """
    return Refused(HTTPStatus.BAD_REQUEST, "", "")


async def _keep(_connection: object) -> None:
    """Instead of asyncpg's reset, a round trip: whatever a request sets ends with its transaction."""


async def _result(connection: Any, statement: Statement, caller: Caller, *, read_only: bool) -> Result:
    row = await connection.fetchrow(RUN, caller.role, caller.claims, read_only, statement.text, statement.arguments)
    return Result(*row)
