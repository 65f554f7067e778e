"""The base of the classes that query Supabase: calls functions, reads rows, and maps every failure and response."""

from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from typing import Any, Protocol, TypeVar
from uuid import UUID

from pydantic import TypeAdapter
from supabase import AsyncClient

from app.errors import BroadsheetError
from app.persistence.errors import parsed, supabase_errors
from app.persistence.paging import MAX_PAGE, decode_cursor, first_page

T = TypeVar("T")
_WRITTEN_AS_TEXT = (UUID, date)


class _Query(Protocol):
    """A query of postgrest-py that is ready to be sent."""

    async def execute(self) -> Any: ...


class Repository:
    """Queries Supabase through the process's one client. Every method raises `SupabaseError`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def _call(self, function: str, action: str, result: type[T] | TypeAdapter[T], **parameters: Any) -> T:
        """Call a SQL function, whose response is a `result`; `action` names the call in error messages.

        The parameters may contain ids and times.
        """
        sent = {
            name: (value.isoformat() if isinstance(value, date) else str(value))
            if isinstance(value, _WRITTEN_AS_TEXT)
            else value
            for name, value in parameters.items()
        }
        with supabase_errors(action):
            response = await self._client.rpc(function, sent).execute()
        adapter: TypeAdapter[T] = result if isinstance(result, TypeAdapter) else _adapter(result)  # type: ignore[arg-type]  # (types are hashable)
        return parsed(adapter, response.data)

    async def _found(
        self, function: str, action: str, result: type[T], missing: BroadsheetError, **parameters: Any
    ) -> T:
        """Call a SQL function whose response is a `result`, or null. Raises `missing` if it is null. See `_call`."""
        optional: TypeAdapter[T | None] = _adapter(result | None)  # type: ignore[arg-type]  # (types are hashable)
        found = await self._call(function, action, optional, **parameters)
        return required([] if found is None else [found], missing)

    async def _page(
        self,
        function: str,
        action: str,
        row: type[T],
        cursor_of: Callable[[T], str],
        limit: int,
        cursor: str | None,
        **filters: Any,
    ) -> tuple[tuple[T, ...], str | None]:
        """Call a SQL function that lists rows, newest first; return up to `limit` of them and the next page's cursor.

        `limit` is cut to 1 to `MAX_PAGE`. Raises `InvalidCursor` for a cursor that no page returned.
        """
        size = min(max(limit, 1), MAX_PAGE)
        before, before_id = decode_cursor(cursor) if cursor is not None else (None, None)
        place = {"p_before": before, "p_before_id": before_id, "p_limit": size + 1}
        found = await self._call(function, action, list[row], **filters, **place)  # type: ignore[valid-type]  # (a class at runtime)
        return first_page(found, size, cursor_of)

    async def _rows(self, query: _Query, action: str, row: type[T]) -> list[T]:
        """Send a query of a table, whose response has a `row` of each row; `action` names it in error messages."""
        with supabase_errors(action):
            response = await query.execute()
        return parsed(_adapter(list[row]), response.data)  # type: ignore[valid-type]  # (a class at runtime)

    async def _first(self, query: Any, action: str, row: type[T]) -> T | None:
        """Read the first row that `query` selects; None if there is none."""
        found = await self._rows(query.limit(1), action, row)
        return found[0] if found else None

    async def _one(
        self, query: Any, action: str, row: type[T], missing: BroadsheetError, *, owner: str | None = None
    ) -> T:
        """Read the one row that `query` selects, of `owner` (None: any). Raises `missing` if there is none."""
        owned = query if owner is None else query.eq("owner", owner)
        return required(await self._rows(owned.limit(1), action, row), missing)


def required(rows: Sequence[T], missing: BroadsheetError) -> T:
    """Return the first of `rows`. Raises `missing` if there is none."""
    if not rows:
        raise missing
    return rows[0]


@cache
def _adapter(kind: Any) -> Any:
    """Return the adapter of a type, made at its first use."""
    return TypeAdapter(kind)
