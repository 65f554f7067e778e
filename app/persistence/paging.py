"""Pages: read on until there is no more, for a project's row limit may cut any of them; and cursors between them."""

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


async def read_on(read: Callable[[Sequence[T]], Awaitable[list[T]]], wanted: float = inf) -> list[T]:
    """Collect `wanted` rows, or all: `read` is given what was found so far, and answers with some of what follows.

    Only an empty answer is the end. A short one may be what the project's row limit (PostgREST's `db-max-rows`, 1,000
    on Supabase unless it was changed) left of a longer one, without a word.
    """
    found: list[T] = []
    while len(found) < wanted:
        page = await read(found)
        if not page:
            break
        found += page
    return found


def _in_utc(moment: datetime) -> datetime:
    # Python knows zones that PostgreSQL does not (of 16 hours and more); those of our cursors are all UTC.
    if moment.utcoffset() != timedelta(0):
        raise ValueError("not UTC")
    return moment


_CURSOR = TypeAdapter(tuple[Annotated[AwareDatetime, AfterValidator(_in_utc)], UUID])


def cursor_of(created_at: datetime, own_id: UUID) -> str:
    """Write the cursor that leads on behind a row."""
    moment = created_at.astimezone(UTC).isoformat()
    return base64.urlsafe_b64encode(json.dumps([moment, str(own_id)]).encode()).decode()


def read_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Read a cursor. Raises `InvalidCursor`."""
    try:
        return _CURSOR.validate_json(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, ValidationError):
        raise InvalidCursor(f"The cursor {cursor[:100]!r} is none that a page gave: begin without one.") from None
