"""Builds responses as PostgREST does: status, Content-Range, applied preferences and body."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from embedded.postgrest.catalog import Function
from embedded.postgrest.database import Result
from embedded.postgrest.errors import Refused
from embedded.postgrest.request import SINGLE_OBJECT, Query

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True)
class Response:
    """An HTTP response of the gateway."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def read_response(query: Query, result: Result, *, whole: bool = False) -> Response:
    """The response to a read or a function call; `whole` if the function returns one value. Raises `Refused`."""
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
    return Response(status, (result.body or "null").encode(), _headers(query, content_range))


def function_response(function: Function, query: Query, result: Result) -> Response:
    """The response to a function call. Raises `Refused`."""
    if function.nothing:
        return Response(HTTPStatus.NO_CONTENT, headers=(("content-range", "0-0/*"),))
    return read_response(query, result, whole=not function.many)


def insert_response(query: Query, name: str, result: Result) -> Response:
    """The response to an insert; 200 if an upsert only updated."""
    updated_only = query.prefer.get("resolution") == "merge-duplicates" and result.rows > 0 and result.new == 0
    status = HTTPStatus.OK if updated_only else HTTPStatus.CREATED
    return _written(query, result, status, f"*/{result.rows if query.counted else '*'}", _location(name, result))


def update_response(query: Query, result: Result) -> Response:
    """The response to an update."""
    return _written(query, result, _status(query), _range(result.rows, 0, result.rows if query.counted else None))


def delete_response(query: Query, result: Result) -> Response:
    """The response to a delete."""
    return _written(query, result, _status(query), f"*/{result.rows if query.counted else '*'}")


def _range(rows: int, offset: int, total: int | None) -> str:
    span = f"{offset}-{offset + rows - 1}" if rows else "*"
    return f"{span}/{'*' if total is None else total}"


def _headers(query: Query, content_range: str, kind: str | None = JSON) -> tuple[tuple[str, str], ...]:
    applied = (("preference-applied", query.preference_applied),) if query.prefer else ()
    return (("content-range", content_range), *applied, *((("content-type", kind),) if kind else ()))


def _single(query: Query, result: Result, status: int, content_range: str) -> Response:
    if result.rows != 1:
        message = "JSON object requested, multiple (or no) rows returned"
        details = f"The result contains {result.rows} rows"
        raise Refused(HTTPStatus.NOT_ACCEPTABLE, "PGRST116", message, details=details)
    body = (result.body or "").strip()[1:-1].encode()
    return Response(status, body, _headers(query, content_range, f"{SINGLE_OBJECT}; charset=utf-8"))


def _location(name: str, result: Result) -> str:
    """The Location of a single new row, if the request has `return=headers-only`."""
    if result.rows != 1 or result.body is None:
        return ""
    ((key,),) = (json.loads(result.body),)
    return f"/{name}?" + urlencode({column: f"eq.{value}" for column, value in key.items()})


def _status(query: Query) -> int:
    """The status of an update or a delete."""
    return HTTPStatus.OK if query.representation else HTTPStatus.NO_CONTENT


def _written(query: Query, result: Result, status: int, content_range: str, location: str = "") -> Response:
    if not query.representation:
        where = (("location", location),) if location else ()
        return Response(status, headers=(*where, *_headers(query, content_range, None)))
    if query.single:
        return _single(query, result, status, content_range)
    return Response(status, (result.body or "[]").encode(), _headers(query, content_range))
