"""The rule for tests on both PostgreSQL versions still finds the tests that it means."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.versions import DIFFERING


def names_of(file: Path) -> Iterator[str]:
    """What a file imports or defines at its top level."""
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        match statement:
            case ast.ImportFrom(names=names):
                yield from (name.name for name in names)
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name
            case _:
                pass


@pytest.mark.parametrize("name", sorted(DIFFERING))
def test_a_name_of_the_rule_is_used_by_a_test_file(name: str) -> None:
    assert [file.name for file in Path(__file__).parent.glob("test_*.py") if name in names_of(file)]
