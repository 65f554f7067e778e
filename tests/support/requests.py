"""A call of a persistence class, and the one request that it makes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from supabase import AsyncClient

ONE = UUID("00000000-0000-4000-8000-000000000001")
TWO = UUID("00000000-0000-4000-8000-000000000002")
DAY = date(2026, 1, 2)
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
AT = MOMENT.isoformat()


@dataclass(frozen=True)
class RequestCase:
    """The purpose of a call, as its errors name it, and its request to Supabase."""

    action: str
    call: Callable[[AsyncClient], Awaitable[object]]
    path: str
    query: dict[str, str]
    body: Any = None
    method: str = "POST"


def rpc(
    action: str, call: Callable[[AsyncClient], Awaitable[object]], function: str, **parameters: object
) -> RequestCase:
    return RequestCase(action, call, f"/rest/v1/rpc/{function}", {}, parameters)


def select(
    action: str, call: Callable[[AsyncClient], Awaitable[object]], table: str, query: dict[str, str]
) -> RequestCase:
    return RequestCase(action, call, f"/rest/v1/{table}", query, method="GET")
