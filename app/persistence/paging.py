"""Paging: reads all pages of a query, since a project's row limit may cut any of them; and encodes cursors."""

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from typing import Annotated, Final, TypeVar
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, TypeAdapter

from app.days import in_utc
from app.errors import InvalidCursor

MAX_PAGE: Final = 100
"""The most rows of a page."""

T = TypeVar("T")
CursorT = TypeVar("CursorT")


async def read_all(read: Callable[[Sequence[T]], Awaitable[list[T]]], limit: float = inf) -> list[T]:
    """Collect all rows, or `limit` of them. `read` gets the rows found so far and returns some of the next ones.

    Only an empty page is the end. A short page may have been cut silently by the project's row limit (PostgREST's
    `db-max-rows`, 1,000 on Supabase unless changed).
    """
    found: list[T] = []
    while len(found) < limit:
        page = await read(found)
        if not page:
            break
        found += page
    return found


def first_page(
    rows: Sequence[T], limit: int, cursor_of: Callable[[T], CursorT]
) -> tuple[tuple[T, ...], CursorT | None]:
    """Return the first `limit` rows, and the cursor of the last of them if more rows follow; else None."""
    return tuple(rows[:limit]), cursor_of(rows[limit - 1]) if len(rows) > limit else None


_CURSOR = TypeAdapter(tuple[Annotated[AwareDatetime, AfterValidator(in_utc)], UUID])


def encode_cursor(created_at: datetime, own_id: UUID) -> str:
    """Return the cursor of the page that follows a row."""
    moment = created_at.astimezone(UTC).isoformat()
    return base64.urlsafe_b64encode(json.dumps([moment, str(own_id)]).encode()).decode()


def decode_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Return the time and id in a cursor. Raises `InvalidCursor`."""
    with suppress(ValueError):
        found = _CURSOR.validate_json(base64.urlsafe_b64decode(cursor.encode()))
        if encode_cursor(*found) == cursor:
            return found
    raise InvalidCursor(f"The cursor {cursor[:100]!r} is invalid: omit it to get the first page.")
