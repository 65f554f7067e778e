"""The gateway: an ASGI application that answers `/rest/v1` as PostgREST does, one transaction a request."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode

import asyncpg

from embedded.auth import Caller, Keys
from embedded.catalog import Catalog, Function
from embedded.errors import Refused, from_postgres
from embedded.request import SINGLE_OBJECT, Query, parse_body, parse_query
from embedded.sql import quoted
from embedded.statements import Statement, call_function, delete_rows, insert_rows, read_rows, update_rows

PREFIX = "/rest/v1/"
MAX_BODY = 20_000_000
BODY_WITHIN = 60.0
POOL_WITHIN = 10.0
JSON = "application/json; charset=utf-8"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Pool: TypeAlias = "asyncpg.Pool"


@dataclass(frozen=True)
class Result:
    """What a statement brought: the body as JSON text, its rows, all rows, and the rows that are new."""

    body: str | None
    rows: int
    total: int | None
    new: int


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Gateway:
    """Turns each request into one statement, runs it as the caller's role, and words the answer."""

    def __init__(self, pool: Pool, catalog: Catalog, keys: Keys) -> None:
        self._pool = pool
        self._catalog = catalog
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except Refused as refusal:
            answer = Answer(refusal.status, refusal.body, (("content-type", JSON), *refusal.headers))
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        if answer.status != HTTPStatus.NO_CONTENT:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        caller = self._keys.caller(headers)
        path = unquote(scope["raw_path"].decode("latin-1")) if "raw_path" in scope else scope["path"]
        if not path.startswith(PREFIX):
            raise Refused(HTTPStatus.NOT_FOUND, "PGRST125", f"Invalid path: {path}; the stand-in serves {PREFIX}")
        parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        body = await _read_body(headers, receive)
        name = path.removeprefix(PREFIX)
        _require_public(headers)
        if name.startswith("rpc/"):
            return await self._call(scope["method"], name.removeprefix("rpc/"), parameters, headers, body, caller)
        return await self._table(scope["method"], name, parse_query(parameters, headers), body, caller)

    async def _table(self, method: str, name: str, query: Query, body: bytes, caller: Caller) -> Answer:
        relation = await self._catalog.relation_with(name, query.names())
        match method:
            case "GET" | "HEAD":
                result = await self._run(read_rows(relation, query), caller, read_only=True)
                return _read_answer(query, result)
            case "POST":
                result = await self._run(insert_rows(relation, query, *parse_body(body)), caller)
                return _insert_answer(query, result, name)
            case "PATCH":
                result = await self._run(update_rows(relation, query, *parse_body(body)), caller)
                return _change_answer(query, result, _range(result.rows, 0, result.rows if query.counted else None))
            case "DELETE":
                result = await self._run(delete_rows(relation, query), caller)
                return _change_answer(query, result, f"*/{result.rows if query.counted else '*'}")
            case _:
                raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "PGRST117", f"Unsupported HTTP method: {method}")

    async def _call(
        self,
        method: str,
        name: str,
        parameters: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
        caller: Caller,
    ) -> Answer:
        if method not in {"GET", "HEAD", "POST"}:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "PGRST101", f"Cannot use the {method} method on RPC")
        if method != "POST":
            body = _arguments_of_url(self._catalog.named(name), parameters)
        value, raw = parse_body(body.strip() or b"{}")
        if not isinstance(value, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "PGRST102", "The arguments of a function are one JSON object")
        given = frozenset(value)
        function = await self._catalog.function(name, given)
        query = parse_query(parameters, headers, arguments=given if method != "POST" else frozenset())
        statement = call_function(function, query, raw, given)
        result = await self._run(statement, caller, read_only=method != "POST")
        if function.nothing:
            return Answer(HTTPStatus.NO_CONTENT, headers=(("content-range", "0-0/*"),))
        return _read_answer(query, result, whole=not function.many)

    async def _run(self, statement: Statement, caller: Caller, *, read_only: bool = False) -> Result:
        """Run the statement in a transaction of its own, as the caller's role. Raises `Refused`."""
        try:
            async with self._pool.acquire(timeout=POOL_WITHIN) as connection:
                return await _in_transaction(connection, statement, caller, read_only=read_only)
        except TimeoutError:
            message = "Timed out acquiring connection from connection pool."
            raise Refused(HTTPStatus.GATEWAY_TIMEOUT, "PGRST003", message) from None
        except asyncpg.PostgresError as error:
            raise from_postgres(error, anonymous=caller.anonymous) from None
        except (OSError, asyncpg.InterfaceError) as error:
            message = f"Database connection error. Retrying the connection. ({error})"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "PGRST001", message) from None


async def _in_transaction(connection: Any, statement: Statement, caller: Caller, *, read_only: bool) -> Result:
    mode = "read only" if read_only else "read write"
    claims = "'" + caller.claims.replace("'", "''") + "'"
    await connection.execute(
        f'begin {mode}; set local role {quoted(caller.role)}; set local "request.jwt.claims" = {claims}'
    )
    try:
        row = await connection.fetchrow(statement.text, *statement.arguments)
    except BaseException:
        if not connection.is_closed():
            await connection.execute("rollback")
        raise
    await connection.execute("commit")
    return Result(*row)


async def _read_body(headers: Mapping[str, str], receive: Receive) -> bytes:
    """Read the whole body before any connection is taken: a slow client holds nothing."""
    if int(headers.get("content-length", "0")) > MAX_BODY:
        raise _too_large()
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_WITHIN):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(HTTPStatus.BAD_REQUEST, "PGRST102", "The client went away before its body was read")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > MAX_BODY:
                    raise _too_large()
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        message_text = f"The body did not arrive within {BODY_WITHIN:g} s"
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "PGRST102", message_text) from None


def _too_large() -> Refused:
    message = f"The body is larger than {MAX_BODY} bytes"
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "PGRST102", message)


def _require_public(headers: Mapping[str, str]) -> None:
    for name in ("accept-profile", "content-profile"):
        if (schema := headers.get(name, "public")) != "public":
            message = "The schema must be one of the following: public"
            raise Refused(HTTPStatus.NOT_ACCEPTABLE, "PGRST106", message, details=f"{name}: {schema}")


def _arguments_of_url(functions: list[Function], parameters: list[tuple[str, str]]) -> bytes:
    """The arguments among a URL's parameters as a JSON object of texts, which the database reads as their types."""
    known = {name for function in functions for name in function.arguments}
    return json.dumps({name: value for name, value in parameters if name in known}).encode()


def _range(rows: int, offset: int, total: int | None) -> str:
    span = f"{offset}-{offset + rows - 1}" if rows else "*"
    return f"{span}/{'*' if total is None else total}"


def _headers(query: Query, content_range: str, kind: str | None = JSON) -> tuple[tuple[str, str], ...]:
    applied = (("preference-applied", query.preference_applied),) if query.prefer else ()
    return (("content-range", content_range), *applied, *((("content-type", kind),) if kind else ()))


def _single(query: Query, result: Result, status: int, content_range: str) -> Answer:
    if result.rows != 1:
        message = "JSON object requested, multiple (or no) rows returned"
        details = f"The result contains {result.rows} rows"
        raise Refused(HTTPStatus.NOT_ACCEPTABLE, "PGRST116", message, details=details)
    body = (result.body or "").strip()[1:-1].encode()
    return Answer(status, body, _headers(query, content_range, f"{SINGLE_OBJECT}; charset=utf-8"))


def _read_answer(query: Query, result: Result, *, whole: bool = False) -> Answer:
    total = result.total if query.counted else None
    if total is not None and total and query.offset >= total:
        details = f"An offset of {query.offset} was requested, but there are only {total} rows."
        raise Refused(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "PGRST103",
            "Requested range not satisfiable",
            details=details,
            headers=(("content-range", f"*/{total}"),),
        )
    content_range = _range(result.rows, query.offset, total)
    partial = total is not None and result.rows < total
    status = HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK
    if query.single and not whole:
        return _single(query, result, status, content_range)
    return Answer(status, (result.body or "null").encode(), _headers(query, content_range))


def _insert_answer(query: Query, result: Result, name: str) -> Answer:
    updated_only = query.prefer.get("resolution") == "merge-duplicates" and result.rows > 0 and result.new == 0
    status = HTTPStatus.OK if updated_only else HTTPStatus.CREATED
    return _written(query, result, status, f"*/{result.rows if query.counted else '*'}", _location(name, result))


def _location(name: str, result: Result) -> str:
    """Where the one new row is to be found, if its key was asked for with `return=headers-only`."""
    if result.rows != 1 or result.body is None:
        return ""
    ((key,),) = (json.loads(result.body),)
    return f"/{name}?" + urlencode({column: f"eq.{value}" for column, value in key.items()})


def _change_answer(query: Query, result: Result, content_range: str) -> Answer:
    status = HTTPStatus.OK if query.representation else HTTPStatus.NO_CONTENT
    return _written(query, result, status, content_range)


def _written(query: Query, result: Result, status: int, content_range: str, location: str = "") -> Answer:
    if not query.representation:
        where = (("location", location),) if location else ()
        return Answer(status, headers=(*where, *_headers(query, content_range, None)))
    if query.single:
        return _single(query, result, status, content_range)
    return Answer(status, (result.body or "[]").encode(), _headers(query, content_range))
