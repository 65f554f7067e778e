"""Faults of the SQL in a copy of the tree: they are in the database of the tests, and only while they are injected."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.faults import WrongData, sql_mutants
from scripts.live_copy import LiveCopy

PERMITS, LIMITS = "tests/contract/test_rate_limits.py", "tests/contract/test_limits.py"
LIMIT = f"{LIMITS}::test_the_database_limits_a_paper_as_the_code"
PERMIT = f"{PERMITS}::test_the_next_permit_waits_until_this_one_is_released"
IN_A_FUNCTION = {
    "file": "20261201115000_rate_limits.sql",
    "reason": "two processes hold the permit",
    "old": "permit.holder is not null and permit.held_until > moment",
    "new": "false",
}
IN_A_TABLE = {
    "file": "20261201130000_reader_papers.sql",
    "reason": "a title is longer than in the code",
    "old": "(char_length(title) between 1 and 300), -- null",
    "new": "(char_length(title) between 1 and 301), -- null",
}
LONG = 200.0
"""Seconds."""


@pytest.fixture(scope="module")
def copy(own_folder: Path) -> Iterator[LiveCopy]:
    copy = LiveCopy(own_folder, [PERMITS, LIMITS])
    yield copy
    copy.stop()


def test_a_fault_is_in_the_running_database_while_it_is_tested(copy: LiveCopy) -> None:
    fault, no_fault = sql_mutants([IN_A_FUNCTION, IN_A_FUNCTION | {"new": f"true and {IN_A_FUNCTION['old']}"}])
    assert copy.detection(fault, [[PERMIT], [PERMIT]], LONG) == f"FAILED {PERMIT}[bundled]"
    assert copy.detection(no_fault, [[PERMIT], [PERMIT]], LONG) is None


def test_a_fault_of_a_table_is_in_the_tests_own_database(copy: LiveCopy) -> None:
    (mutant,) = sql_mutants([IN_A_TABLE])
    assert mutant.live is None
    assert copy.detection(mutant, [[LIMIT]], LONG) == f"FAILED {LIMIT}[bundled-title]"


def test_a_fault_that_is_no_sql_is_named(copy: LiveCopy) -> None:
    (mutant,) = sql_mutants([IN_A_FUNCTION | {"new": "and"}])
    with pytest.raises(WrongData, match=r"two processes hold the permit: syntax error"):
        copy.detection(mutant, [[PERMIT], [PERMIT]], LONG)
