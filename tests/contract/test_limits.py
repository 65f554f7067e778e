"""The database's limits of a profile, a reader and a paper are those of the code."""

import json
from typing import Any

import asyncpg
import pytest
from pydantic import BaseModel

from app.api.paper_models import PaperRequest
from app.api.reader_models import ReaderChange
from app.persistence.readers import ReaderProfile

LISTS = ("interests", "exclude", "authors", "categories")
CATEGORIES = [f"cs.{first}{second}" for first in "ABCDEFGHIJ" for second in "ABCDEFGHIJ"]


def limit_of(model: type[BaseModel], field: str, keyword: str) -> int:
    """The value of a keyword in the field's JSON schema, whose other alternative may be null."""
    schema: dict[str, Any] = model.model_json_schema()["properties"][field]
    (found,) = [each[keyword] for each in (schema, *schema.get("anyOf", ())) if keyword in each]
    return int(found)


def texts(field: str, count: int) -> list[str]:
    return CATEGORIES[:count] if field == "categories" else ["x"] * count


def at_the_limit(field: str, more: int) -> Any:
    """A value of a profile's field that exceeds the limit by `more`."""
    if field in LISTS:
        return texts(field, limit_of(ReaderProfile, field, "maxItems") + more)
    if field.startswith("max_"):
        return limit_of(ReaderProfile, field, "maximum") + more
    return "x" * (limit_of(ReaderProfile, field, "maxLength") + more)


async def valid(database: asyncpg.Connection, profile: dict[str, Any]) -> bool:
    found: bool = await database.fetchval("select public.profile_is_valid($1::text::jsonb)", json.dumps(profile))
    return found


@pytest.mark.parametrize("field", [field for field in ReaderProfile.model_fields if field != "language"])
async def test_the_database_limits_a_profile_as_the_code(database: asyncpg.Connection, field: str) -> None:
    assert [await valid(database, {field: at_the_limit(field, more)}) for more in (0, 1)] == [True, False]


@pytest.mark.parametrize("field", [field for field in LISTS if field != "categories"])
async def test_the_database_limits_a_profiles_texts(database: asyncpg.Connection, field: str) -> None:
    length = ReaderProfile.model_json_schema()["properties"][field]["items"]["maxLength"]
    assert [await valid(database, {field: ["x" * (length + more)]}) for more in (0, 1)] == [True, False]


async def stored(database: asyncpg.Connection, table: str, row: dict[str, Any]) -> bool:
    """Whether the table accepts the row; it is not kept."""
    transaction = database.transaction()
    await transaction.start()
    try:
        columns = ", ".join(row)
        source = f"jsonb_populate_record(null::public.{table}, $1)"
        await database.execute(
            f"insert into public.{table} ({columns}) select {columns} from {source}", json.dumps(row)
        )
    except asyncpg.CheckViolationError:
        return False
    finally:
        await transaction.rollback()
    return True


def address(length: int) -> str:
    host = ".".join(["h" * 60] * 4)
    return f"{'u' * (length - len(host) - 1)}@{host}"


READER = {"reader_id": "00000000-0000-4000-8000-0000000000ab", "external_id": "ada", "name": "Ada"}
PAPER = {
    "paper_id": "00000000-0000-4000-8000-0000000000ac", "reader_id": READER["reader_id"], "kind": "paper", "title": "T",
    "abstract": "", "authors": [], "origin": "manual", "vector": "", "liked": True, "rated_at": "2026-11-22T00:00:00Z",
    "created_at": "2026-11-22T00:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize("column", ["name", "status_reason", "email"])
async def test_the_database_limits_a_reader_as_the_code(database: asyncpg.Connection, column: str) -> None:
    length = limit_of(ReaderChange, column, "maxLength")
    write = address if column == "email" else "x".__mul__
    rows = [READER | {column: write(length + more)} for more in (0, 1)]
    assert [await stored(database, "readers", row) for row in rows] == [True, False]


@pytest.mark.parametrize("column", ["title", "abstract", "authors", "url", "doi"])
async def test_the_database_limits_a_paper_as_the_code(database: asyncpg.Connection, column: str) -> None:
    insert = "insert into public.readers (reader_id, external_id, name) values ($1, $2, $3)"
    await database.execute(insert, *READER.values())
    length = limit_of(PaperRequest, column, "maxItems" if column == "authors" else "maxLength")
    values = [["x"] * (length + more) if column == "authors" else "x" * (length + more) for more in (0, 1)]
    assert [await stored(database, "reader_papers", PAPER | {column: value}) for value in values] == [True, False]
