"""Error responses of the gateway: an HTTP status, and the code, message, details and hint of PostgREST's error body."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus

import asyncpg

OWN_STATUS = "PT"
"""A SQLSTATE of this class contains the HTTP status to return, as in PT409 (PostgREST, "Raise errors")."""

_STATUS_BY_CODE = {
    "23503": HTTPStatus.CONFLICT,
    "23505": HTTPStatus.CONFLICT,
    "25006": HTTPStatus.METHOD_NOT_ALLOWED,
    "42883": HTTPStatus.NOT_FOUND,
    "42P01": HTTPStatus.NOT_FOUND,
    "42P17": HTTPStatus.INTERNAL_SERVER_ERROR,
    "53400": HTTPStatus.INTERNAL_SERVER_ERROR,
    "57P01": HTTPStatus.SERVICE_UNAVAILABLE,
    "57P03": HTTPStatus.SERVICE_UNAVAILABLE,
    "P0001": HTTPStatus.BAD_REQUEST,
}
_STATUS_BY_CLASS = {
    **dict.fromkeys(("08", "53"), HTTPStatus.SERVICE_UNAVAILABLE),
    **dict.fromkeys(("0L", "0P", "28"), HTTPStatus.FORBIDDEN),
    **dict.fromkeys(
        ("09", "21", "25", "2D", "38", "39", "3B", "40", "54", "55", "57", "58", "F0", "HV", "P0", "XX"),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    ),
}
"""PostgREST reference, "Errors": the HTTP status of each SQLSTATE; every other one is 400."""


@dataclass(eq=False)
class Refused(Exception):
    """The request gets an error response."""

    status: int
    code: str
    message: str
    details: str | None = field(default=None, kw_only=True)
    hint: str | None = field(default=None, kw_only=True)
    headers: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)

    @property
    def body(self) -> bytes:
        """The error body in PostgREST's format."""
        fields = {"code": self.code, "details": self.details, "hint": self.hint, "message": self.message}
        # A name in the request may contain half a surrogate pair, which has no UTF-8 encoding.
        return json.dumps(fields, ensure_ascii=False).encode(errors="replace")


def syntax(message: str, details: str) -> Refused:
    """The error for a part of the request that is invalid or that this emulator does not support."""
    return Refused(HTTPStatus.BAD_REQUEST, "PGRST100", message, details=details)


def unknown_column(relation: str, column: str) -> Refused:
    """The error for a column that does not exist."""
    return Refused(HTTPStatus.BAD_REQUEST, "42703", f"column {relation}.{column} does not exist")


def from_postgres(error: asyncpg.PostgresError, *, anonymous: bool) -> Refused:
    """Map a database error as PostgREST does; `anonymous` callers get 401 where others get 403."""
    code, message = error.sqlstate or "XX000", str(error.args[0])
    headers: tuple[tuple[str, str], ...] = ()
    if code.startswith(OWN_STATUS) and code[2:].isdigit():
        status = int(code[2:])
    elif code == "42501":
        status = HTTPStatus.UNAUTHORIZED if anonymous else HTTPStatus.FORBIDDEN
        headers = (("www-authenticate", "Bearer"),) if anonymous else ()
    elif code == "21000" and message.endswith("requires a WHERE clause"):  # pg-safeupdate's
        status = HTTPStatus.BAD_REQUEST
    else:
        status = _STATUS_BY_CODE.get(code) or _STATUS_BY_CLASS.get(code[:2]) or HTTPStatus.BAD_REQUEST
    details, hint = getattr(error, "detail", None), getattr(error, "hint", None)
    return Refused(status, code, message, details=details, hint=hint, headers=headers)
