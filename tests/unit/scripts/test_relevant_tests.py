"""The order of tests for a fault: by the words that they share with its description."""

from pathlib import Path

from scripts.relevant_tests import FEW, RelevantTests

LEASES = '''
"""Leases."""

async def test_a_lost_lease_has_no_effect() -> None:
    assert await claim() is None

def test_the_clock_is_read_once() -> None:
    """Outcomes are rejected."""
'''


def test_the_nearest_tests_run_first_and_then_all(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_leases.py").write_text(LEASES)
    (folder / "test_many.py").write_text("".join(f"def test_number_{'i' * n}() -> None: ...\n" for n in range(FEW)))
    (folder / "helpers.py").write_text("def test_is_not_one() -> None: ...\n")
    few, files, every = RelevantTests(tmp_path, ["tests"]).runs("leases that are lost have effects; outcomes")
    assert few[0] == "tests/test_leases.py::test_a_lost_lease_has_no_effect"
    assert few[1] == "tests/test_leases.py::test_the_clock_is_read_once"
    assert len(few) == FEW
    assert files == ["tests/test_leases.py", "tests/test_many.py"]
    assert every == ["tests"]
