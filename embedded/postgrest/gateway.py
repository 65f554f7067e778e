"""The gateway: an ASGI application that serves `/rest/v1` as PostgREST does, with one transaction per request."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from embedded.postgrest.auth import Caller, Keys
from embedded.postgrest.catalog import Catalog, Function
from embedded.postgrest.database import Database
from embedded.postgrest.errors import Refused
from embedded.postgrest.limits import GatewayLimits
from embedded.postgrest.request import Query, parse_body, parse_query
from embedded.postgrest.responses import (
    JSON,
    Response,
    delete_response,
    function_response,
    insert_response,
    read_response,
    update_response,
)
from embedded.postgrest.statements import call_function, delete_rows, insert_rows, read_rows, update_rows

PREFIX = "/rest/v1/"
JSON_TYPES = frozenset({"json", "jsonb"})

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gateway:
    """Turns each request into one statement, runs it as the caller's role, and builds the response."""

    def __init__(self, database: Database, catalog: Catalog, keys: Keys, limits: GatewayLimits) -> None:
        self._database = database
        self._catalog = catalog
        self._keys = keys
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http":
            return
        try:
            response = await self._respond(scope, receive)
        except Refused as error:
            response = Response(error.status, error.body, (("content-type", JSON), *error.headers))
        headers = [(name.encode(), value.encode()) for name, value in response.headers]
        if response.status != HTTPStatus.NO_CONTENT:
            headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        caller = self._keys.caller(headers)
        path = unquote(scope["raw_path"].decode("latin-1")) if "raw_path" in scope else scope["path"]
        if not path.startswith(PREFIX):
            raise Refused(HTTPStatus.NOT_FOUND, "PGRST125", f"Invalid path: {path}; the emulator serves {PREFIX}")
        if len(scope["query_string"]) > self._limits.query:
            message = f"The URL's parameters exceed {self._limits.query} bytes: split the request, or use a function"
            raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "PGRST100", message)
        parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        body = await _read_body(headers, receive, self._limits)
        name = path.removeprefix(PREFIX)
        _require_public(headers)
        self._catalog.require()
        if name.startswith("rpc/"):
            return await self._call(scope["method"], name.removeprefix("rpc/"), parameters, headers, body, caller)
        return await self._table(scope["method"], name, parse_query(parameters, headers), body, caller)

    async def _table(self, method: str, name: str, query: Query, body: bytes, caller: Caller) -> Response:
        relation = self._catalog.relation(name)
        run = self._database.run
        match method:
            case "GET" | "HEAD":
                query = query.within(self._limits.max_rows)
                return await run(read_rows(relation, query), caller, partial(read_response, query), read_only=True)
            case "POST":
                statement = insert_rows(relation, query, *parse_body(body))
                build_response = partial(insert_response, query, name)
            case "PATCH":
                self._require_condition("UPDATE", query)
                statement = update_rows(relation, query, *parse_body(body))
                build_response = partial(update_response, query)
            case "DELETE":
                self._require_condition("DELETE", query)
                statement, build_response = delete_rows(relation, query), partial(delete_response, query)
            case _:
                raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "PGRST117", f"Unsupported HTTP method: {method}")
        return await run(statement, caller, build_response, tentative=query.tentative)

    async def _call(
        self,
        method: str,
        name: str,
        parameters: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
        caller: Caller,
    ) -> Response:
        if method not in {"GET", "HEAD", "POST"}:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "PGRST101", f"Cannot use the {method} method on RPC")
        if method != "POST":
            body = _arguments_of_url(self._catalog.named(name), parameters)
        value, raw = parse_body(body.strip() or b"{}")
        if not isinstance(value, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "PGRST102", "The arguments of a function must be one JSON object")
        names = frozenset(value)
        function = self._catalog.function(name, names)
        query = parse_query(parameters, headers, arguments=names if method != "POST" else frozenset())
        query = query.within(self._limits.max_rows)
        statement = call_function(function, query, raw, names)
        build_response = partial(function_response, function, query)
        reading = method != "POST"
        return await self._database.run(
            statement, caller, build_response, read_only=reading, tentative=query.tentative and not reading
        )

    def _require_condition(self, command: str, query: Query) -> None:
        """Apply the rule of pg-safeupdate, also if PostgreSQL does not have the module."""
        if self._limits.safe_update and not query.conditions:
            raise Refused(HTTPStatus.BAD_REQUEST, "21000", f"{command} requires a WHERE clause")


async def _read_body(headers: Mapping[str, str], receive: Receive, limits: GatewayLimits) -> bytes:
    """Read the whole body before a database connection is used, so that a slow client does not block one."""
    if int(headers.get("content-length", "0")) > limits.body:
        raise _too_large(limits)
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.body_within):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(
                        HTTPStatus.BAD_REQUEST, "PGRST102", "The client disconnected before its body was read"
                    )
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limits.body:
                    raise _too_large(limits)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        message_text = f"The body did not arrive within {limits.body_within:g} s"
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "PGRST102", message_text) from None


def _too_large(limits: GatewayLimits) -> Refused:
    message = f"The body is larger than {limits.body} bytes: send it in parts"
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "PGRST102", message)


def _require_public(headers: Mapping[str, str]) -> None:
    for name in ("accept-profile", "content-profile"):
        if (schema := headers.get(name, "public")) != "public":
            message = "The schema must be one of the following: public"
            raise Refused(HTTPStatus.NOT_ACCEPTABLE, "PGRST106", message, details=f"{name}: {schema}")


def _arguments_of_url(functions: list[Function], parameters: list[tuple[str, str]]) -> bytes:
    """Return the arguments in the URL's parameters as a JSON object of texts, which the database casts to their types.

    PostgREST casts each text to its argument's type, so the text of a JSON argument is JSON.
    """
    types = {name: kind for function in functions for name, kind in function.arguments.items()}
    members = [
        f"{json.dumps(name)}: {_json_text(value) if types[name] in JSON_TYPES else json.dumps(value)}"
        for name, value in parameters
        if name in types
    ]
    return f"{{{', '.join(members)}}}".encode()


def _json_text(value: str) -> str:
    """Return `value` if it is JSON. Raises `Refused` (22P02), as PostgreSQL's cast does."""
    try:
        json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        message = "invalid input syntax for type json"
        raise Refused(HTTPStatus.BAD_REQUEST, "22P02", message, details=f"{value[:100]!r} is not JSON") from None
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)
