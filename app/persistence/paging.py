"""Paging: reads all pages of a query, since a project's row limit may cut any of them; and encodes cursors."""

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, TypeAdapter, ValidationError

from app.errors import InvalidCursor

T = TypeVar("T")


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


def _in_utc(moment: datetime) -> datetime:
    # Python accepts offsets that PostgreSQL does not (16 hours and more). Our cursors are always in UTC.
    if moment.utcoffset() != timedelta(0):
        raise ValueError("not UTC")
    return moment


_CURSOR = TypeAdapter(tuple[Annotated[AwareDatetime, AfterValidator(_in_utc)], UUID])


def encode_cursor(created_at: datetime, own_id: UUID) -> str:
    """Return the cursor of the page that follows a row."""
    moment = created_at.astimezone(UTC).isoformat()
    return base64.urlsafe_b64encode(json.dumps([moment, str(own_id)]).encode()).decode()


def decode_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Return the time and id in a cursor. Raises `InvalidCursor`."""
    try:
        return _CURSOR.validate_json(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, ValidationError):
        raise InvalidCursor(f"The cursor {cursor[:100]!r} is invalid: omit it to get the first page.") from None
