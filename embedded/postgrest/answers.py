"""Words the answers: status, content-range, applied preferences and body, as PostgREST gives them."""

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
class Answer:
    """What goes back."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def read_answer(query: Query, result: Result, *, whole: bool = False) -> Answer:
    """Rows that were read, or what a function returned; `whole` if that is one value. Raises `Refused`."""
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


def function_answer(function: Function, query: Query, result: Result) -> Answer:
    """What a function returned. Raises `Refused`."""
    if function.nothing:
        return Answer(HTTPStatus.NO_CONTENT, headers=(("content-range", "0-0/*"),))
    return read_answer(query, result, whole=not function.many)


def insert_answer(query: Query, name: str, result: Result) -> Answer:
    """Rows that were inserted; 200 if an upsert only updated."""
    updated_only = query.prefer.get("resolution") == "merge-duplicates" and result.rows > 0 and result.new == 0
    status = HTTPStatus.OK if updated_only else HTTPStatus.CREATED
    return _written(query, result, status, f"*/{result.rows if query.counted else '*'}", _location(name, result))


def update_answer(query: Query, result: Result) -> Answer:
    """Rows that were updated."""
    return _change_answer(query, result, _range(result.rows, 0, result.rows if query.counted else None))


def delete_answer(query: Query, result: Result) -> Answer:
    """Rows that were deleted."""
    return _change_answer(query, result, f"*/{result.rows if query.counted else '*'}")


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
