"""The gateway's access to the database: each statement runs in a separate transaction, as the caller's role."""

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
ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True)
class Result:
    """The result of a statement: the body as JSON text, its row count, the count of all rows, and of new rows."""

    body: str | None
    rows: int
    total: int | None
    new: int


class Database:
    """A pool of connections; a request waits at most `pool_within` seconds for one."""

    def __init__(self, dsn: str, size: int, pool_within: float) -> None:
        self._pool: Pool = asyncpg.create_pool(
            dsn,
            min_size=0,  # a minimum would fill the log with errors while the database is unavailable
            max_size=size,
            # The pool closes no idle connection, so every connection lost while idle was closed by the database.
            max_inactive_connection_lifetime=0,
            max_queries=sys.maxsize,
            init=self._count_if_lost,
            reset=_no_reset,
        )
        self._pool_within = pool_within
        self._in_use: set[int] = set()
        self._lost = 0

    async def open(self) -> None:
        """Open the pool; requests create connections when they need them."""
        await self._pool

    def close(self) -> None:
        """Close every connection immediately."""
        self._pool.terminate()

    async def run(
        self,
        statement: Statement,
        caller: Caller,
        build_response: Callable[[Result], ResponseT],
        *,
        read_only: bool = False,
        tentative: bool = False,
    ) -> ResponseT:
        """Run the statement in a separate transaction, as the caller's role, and build the response from its result.

        Raises `Refused`. If `build_response` raises it and the statement is `tentative`, nothing is changed.
        """
        if self._lost:
            self._lost -= 1
            raise _lost_connection()
        with database_errors(anonymous=caller.anonymous):
            async with self._pool.acquire(timeout=self._pool_within) as connection:
                number = connection.get_server_pid()
                self._in_use.add(number)
                try:
                    # A single statement is one round trip and one transaction.
                    async with connection.transaction() if tentative else nullcontext():
                        return build_response(await _result(connection, statement, caller, read_only=read_only))
                except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                    connection.terminate()  # its state is unknown: the next request must get another
                    raise
                finally:
                    if not connection.is_closed():
                        self._in_use.discard(number)

    async def _count_if_lost(self, connection: Any) -> None:
        """Count this connection if it is lost while idle."""
        number = connection.get_server_pid()

        def lost(_connection: object) -> None:
            if number in self._in_use:
                self._in_use.discard(number)
            else:
                self._lost += 1

        connection.add_termination_listener(lost)


@contextmanager
def database_errors(*, anonymous: bool) -> Iterator[None]:
    """Turn errors of the database and of its connections into `Refused`."""
    try:
        yield
    except TimeoutError:
        message = "Timed out acquiring connection from connection pool."
        raise Refused(HTTPStatus.GATEWAY_TIMEOUT, "PGRST003", message) from None
    except asyncpg.PostgresError as error:
        raise from_postgres(error, anonymous=anonymous) from None
    # PostgREST's messages: for a connection that could not be opened, and for one that was lost.
    except OSError as error:
        message = "Database connection error. Retrying the connection."
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "PGRST000", message, details=str(error)) from None
    # asyncpg raises an "internal" error for an idle connection that the server has closed.
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        message = "Database client error. Retrying the connection."
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "PGRST001", message, details=str(error)) from None


def _lost_connection() -> Refused:
    """The response of PostgREST (14.12) to the first request on each pooled connection that a crash has closed.

    asyncpg does not distinguish a crash from a normal close, so both cause it here. See PostgREST's issue 4681.
    """
    return Refused(HTTPStatus.BAD_REQUEST, "", "")


async def _no_reset(_connection: object) -> None:
    """Replaces asyncpg's reset, which costs a round trip: a request's settings end with its transaction."""


async def _result(connection: Any, statement: Statement, caller: Caller, *, read_only: bool) -> Result:
    row = await connection.fetchrow(RUN, caller.role, caller.claims, read_only, statement.text, statement.arguments)
    return Result(*row)
