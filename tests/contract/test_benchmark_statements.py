"""The SQL of benchmarks fits the schema: they run seldom, and a new table once broke one unnoticed."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg

ROOT = Path(__file__).parents[2]
COMPLETE = re.compile(r"\s*(select|insert|update|delete|truncate)\s.*\bpublic\.", re.ASCII | re.DOTALL)
BEGINNINGS = ("values", "select")
"""An insert without any of these is the beginning of a statement that the benchmark continues."""


def statements() -> Iterator[tuple[str, str]]:
    """The complete statements about our tables, each with the name of its file."""
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if COMPLETE.match(text) and ("insert" not in text or any(word in text for word in BEGINNINGS)):
                yield path.name, text


async def test_the_statements_of_benchmarks_fit_the_schema(database: asyncpg.Connection) -> None:
    found, wrong = list(statements()), []
    for name, statement in found:
        transaction = database.transaction()
        await transaction.start()
        try:
            if statement.lstrip().startswith("truncate"):
                await database.execute(statement)
            else:
                await database.prepare(statement)
        except asyncpg.PostgresError as error:
            wrong.append(f"{name}: {error}: {statement}")
        finally:
            await transaction.rollback()
    assert not wrong
    assert len(found) > 10
