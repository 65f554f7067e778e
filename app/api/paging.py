"""Paging, the same for every list: the query takes `limit` and `cursor`, the response carries `next_cursor`."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import Field

from app.api.problems import Problem

CURSOR = "`next_cursor` of the previous page."
NEXT_CURSOR = "`cursor` of the next page; null on the last page."

Limit = Annotated[int, Query(ge=1, le=100, description="Page size.")]
Cursor = Annotated[str | None, Query(max_length=500, description=CURSOR)]
NextCursor = Annotated[str | None, Field(description=NEXT_CURSOR)]

BAD_CURSOR: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The cursor does not come from a previous page"}
}
