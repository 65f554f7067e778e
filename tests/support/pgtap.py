"""Runs pgTAP files as `supabase test db` does, with the SQL of an installed pgTAP and without its extension.

The bundled PostgreSQL has no extensions of others, but pgTAP is plain SQL. Debian's postgresql-15-pgtap has it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

TESTS: Final = Path(__file__).parents[2] / "supabase" / "tests"
# As in a project: pgTAP is in the schema `extensions`, which every role may use.
_INSTALL: Final = """
create schema if not exists extensions; grant usage on schema extensions to anon, authenticated;
set local search_path = extensions; {sql}; reset search_path
"""
_LINE: Final = re.compile(r"(?P<not>not )?ok \d+ - (?P<name>.*)")


def pgtap_sql() -> Path | None:
    """The newest installed pgTAP; None: there is none."""
    found = Path("/usr/share/postgresql").glob("*/extension/pgtap--*.sql")
    whole = [file for file in found if re.fullmatch(r"pgtap--\d+\.\d+\.\d+", file.stem)]
    return max(whole, key=lambda file: [int(part) for part in file.stem.split("--")[1].split(".")], default=None)


@dataclass(frozen=True)
class Report:
    """The names of the assertions of a file."""

    passed: list[str]
    failed: list[str]
    text: str


class Tap:
    """pgTAP in a transaction that is never committed. Each run is rolled back."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def run(self, file: str, change: str = "") -> Report:
        """Make a change, then run a file of `supabase/tests`."""
        script = (TESTS / file).read_text(encoding="utf-8")
        begin, end = "\nbegin;\n", "\nrollback;\n"
        assert script.count(begin) == script.count(end) == 1, "a file is one transaction"
        script = script.replace(begin, "\n").replace(end, "\n")
        with self._connection.transaction(force_rollback=True):
            cursor = self._connection.execute(f"{change};{script}".encode())
            lines = []
            more: bool | None = True
            while more:
                if cursor.description is not None:
                    lines += [line for (text,) in cursor.fetchall() for line in str(text).splitlines()]
                more = cursor.nextset()
        found = [match for line in lines if (match := _LINE.match(line))]
        passed = [match["name"] for match in found if not match["not"]]
        return Report(passed, [match["name"] for match in found if match["not"]], "\n".join(lines))


@contextmanager
def pgtap(database_url: str, sql: Path) -> Iterator[Tap]:
    """Install pgTAP in a transaction, and roll it back at the end."""
    with psycopg.connect(database_url) as connection:
        connection.execute(_INSTALL.format(sql=sql.read_text(encoding="utf-8")).encode())
        yield Tap(connection)
        connection.rollback()
