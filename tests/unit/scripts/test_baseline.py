"""The migrations as files: valid names, and each object created once, in its final form, with a comment."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pglast
import pytest
from pglast import ast, enums

from app.persistence.schema import NEEDED_VERSION
from scripts.migrate import MIGRATIONS

FILES = sorted(MIGRATIONS.glob("*.sql"))
CODE = [path for folder in ("app", "worker", "embedded") for path in Path(MIGRATIONS.parents[1], folder).rglob("*.py")]
ALLOWED = (
    ast.CreateStmt,
    ast.IndexStmt,
    ast.ViewStmt,
    ast.CreateFunctionStmt,
    ast.CreateTrigStmt,
    ast.CreatePolicyStmt,
    ast.GrantStmt,
)
MOST_LINES = 400
MOST_LINES_OF_FUNCTION = 60
MOST_COLUMNS = 132

NO_COMMENT_NEEDED = frozenset(
    {"breaker_states", "cache_put", "record_audit_entry", "record_sent_digest", "timezone_problem"}
)
"""Functions that their name explains."""


@cache
def statements(path: Path) -> tuple[tuple[Any, str], ...]:
    """Each statement of a file, with its text."""
    text = path.read_bytes()
    found: Any = pglast.parse_sql(text.decode())
    return tuple((raw.stmt, text[raw.stmt_location : raw.stmt_location + raw.stmt_len].decode()) for raw in found)


def created(kind: type[Any]) -> Iterator[tuple[Any, str]]:
    for path in FILES:
        yield from ((statement, text) for statement, text in statements(path) if isinstance(statement, kind))


NAMES: dict[type[Any], tuple[str, Callable[[Any], str]]] = {
    ast.CreateStmt: ("table", lambda statement: statement.relation.relname),
    ast.ViewStmt: ("view", lambda statement: statement.view.relname),
    ast.IndexStmt: ("index", lambda statement: statement.idxname),
    ast.CreateFunctionStmt: ("function", lambda statement: statement.funcname[-1].sval),
    ast.CreateTrigStmt: ("trigger", lambda statement: statement.trigname),
    ast.CreatePolicyStmt: ("policy", lambda statement: statement.policy_name),
    ast.AlterTableStmt: ("row security", lambda statement: statement.relation.relname),
}


def name_of(statement: Any) -> str:
    return NAMES[type(statement)][1](statement)


def is_row_security(statement: Any) -> bool:
    return isinstance(statement, ast.AlterTableStmt) and [command.subtype for command in statement.cmds or ()] == [
        enums.AlterTableType.AT_EnableRowSecurity
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_version_is_a_valid_time(path: Path) -> None:
    version, _, subject = path.stem.partition("_")
    assert datetime.strptime(version, "%Y%m%d%H%M%S").strftime("%Y%m%d%H%M%S") == version  # noqa: DTZ007  (a version number, not a moment)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", subject)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_only_creates_and_grants(path: Path) -> None:
    others = [
        text
        for statement, text in statements(path)
        if not isinstance(statement, ALLOWED)
        and not is_row_security(statement)
        and "select public.set_delivery_pause(null)" not in text
    ]
    assert others == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_can_be_read(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("-- ")
    assert len(lines) <= MOST_LINES
    assert [line for line in lines if len(line) > MOST_COLUMNS] == []


def test_each_object_is_created_once() -> None:
    counts = Counter((NAMES[kind][0], name_of(statement)) for kind in NAMES for statement, _ in created(kind))
    assert [name for name, count in counts.items() if count > 1] == []
    assert not [text for statement, text in created(ast.CreateFunctionStmt) if statement.replace]


def test_every_table_has_row_security() -> None:
    tables = {name_of(statement) for statement, _ in created(ast.CreateStmt)}
    assert tables == {name_of(s) for s, _ in created(ast.AlterTableStmt) if is_row_security(s)}


def test_a_function_has_at_most_sixty_lines() -> None:
    lengths = {
        name_of(statement): text[text.index("create function") :].count("\n") + 1
        for statement, text in created(ast.CreateFunctionStmt)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_FUNCTION} == {}


def test_a_function_has_a_comment_above_it() -> None:
    sql = "".join(path.read_text(encoding="utf-8") for path in FILES)
    explained = set(re.findall(r"(?m)^-- .*\ncreate function public\.(\w+)", sql))
    functions = {name_of(statement) for statement, _ in created(ast.CreateFunctionStmt)}
    assert functions - explained == NO_COMMENT_NEEDED


def words(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        yield from re.findall(r"\w+", path.read_text(encoding="utf-8"))


def test_every_column_is_used() -> None:
    """A column's name occurs outside the definition of its table, in SQL or in the code."""
    code = set(words(CODE))
    everywhere = Counter(words(FILES))
    unused = []
    for statement, text in created(ast.CreateStmt):
        used = code | set(everywhere - Counter(re.findall(r"\w+", text)))
        columns = [element.colname for element in statement.tableElts if isinstance(element, ast.ColumnDef)]
        unused += [f"{name_of(statement)}.{column}" for column in columns if column not in used]
    assert unused == []


def test_the_code_needs_the_version_of_the_files() -> None:
    (text,) = (text for s, text in created(ast.CreateFunctionStmt) if name_of(s) == "schema_version")
    assert f"select {NEEDED_VERSION} " in text
