"""Rules of the test suite: short test names, no imports between test files, and a layout that mirrors the packages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
FILES = sorted(TESTS.rglob("*.py"))
LONGEST_NAME = 60
REPOSITORY = {
    "app",
    "architecture",
    "compose",
    "deployment",
    "documents",
    "makefile",
    "programs",
    "release",
    "retired_names",
    "test_suite",
}
"""Subjects of tests that are no module: the application as a whole, and files of the repository."""


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement. Expressions contain none, and to visit them takes most of the time of `ast.walk`."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(tree, part, ()):
            yield node
            yield from statements(node)


def functions(tree: ast.AST) -> Iterator[str]:
    for node in statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def imports(tree: ast.AST) -> Iterator[str]:
    for node in statements(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def forbidden_imports(path: str, tree: ast.AST) -> list[str]:
    """Imports from test files, from fixtures' files, and from helpers of another package."""
    package = ".".join(Path(path).parent.parts)
    names = [name for name in imports(tree) if name.startswith("tests.")]
    own = ("tests.support.", f"{package}.")
    modules = [(name, part) for name in names for part in name.split(".")]
    of_tests = {name for name, part in modules if part == "conftest" or part.startswith("test_")}
    return sorted(of_tests | {name for name in names if not name.startswith(own)})


def long_names(tree: ast.AST) -> list[str]:
    return [name for name in functions(tree) if name.startswith("test_") and len(name) > LONGEST_NAME]


def misplaced(path: str) -> bool:
    """Whether a file of unit or integration tests mirrors neither a package nor a module."""
    *folders, name = Path(path).relative_to("tests").parts[1:]
    if folders:
        return not any((ROOT / place / folders[0]).is_dir() for place in ("app", "."))
    subject = name.removeprefix("test_").removesuffix(".py")
    return not (subject in REPOSITORY or (ROOT / "app" / f"{subject}.py").is_file())


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_names_are_short_and_imports_are_allowed() -> None:
    """One test, because each of five hundred takes longer than its file."""
    trees = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    found = {path: (long_names(tree), forbidden_imports(path, tree)) for path, tree in trees.items()}
    assert {path: violations for path, violations in found.items() if violations != ([], [])} == {}


def test_unit_and_integration_tests_mirror_the_packages() -> None:
    files = [name_of(path) for kind in ("unit", "integration") for path in (TESTS / kind).rglob("test_*.py")]
    assert [path for path in files if misplaced(path)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("tests/unit/api/test_auth.py", "from tests.unit.api.test_models import message_of"),
        ("tests/unit/api/test_auth.py", "from tests.conftest import ROOT"),
        ("tests/unit/api/test_auth.py", "from tests.integration.api.recorded_requests import check"),
        ("tests/support/tasks.py", "import tests.contract.writers"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str) -> None:
    assert len(forbidden_imports(path, ast.parse(source))) == 1


@pytest.mark.parametrize(
    "before", ["", "if a:\n ", "if a:\n ...\nelse:\n ", "class A:\n ", "for a in b:\n with c:\n  "]
)
def test_a_long_name_is_found_wherever_it_is(before: str) -> None:
    name = "test_" + "x" * (LONGEST_NAME - 5)
    assert long_names(ast.parse(f"def {name}(): ...\n{before}async def {name}y(): ...")) == [f"{name}y"]


@pytest.mark.parametrize("head", ["try:\n ...\nexcept A", "try:\n ...\nfinally", "match a:\n case 1", "while a"])
def test_an_import_is_found_wherever_it_is(head: str) -> None:
    inner = " " * (2 if head.startswith("match") else 1)
    assert list(imports(ast.parse(f"{head}:\n{inner}import tests.conftest"))) == ["tests.conftest"]


@pytest.mark.parametrize("path", ["tests/unit/nothing/test_auth.py", "tests/integration/test_nothing.py"])
def test_a_misplaced_file_is_found(path: str) -> None:
    assert misplaced(path)


def test_a_file_that_renames_something_awaits_the_schema() -> None:
    """The emulator reads the schema again a little later: until then, requests find nothing of the old name."""
    renames = re.compile(r"execute\(\"alter (?:table|function) \S+ rename to ")
    files = {path.name: path.read_text(encoding="utf-8") for path in FILES}
    found = {name: text for name, text in files.items() if renames.search(text)}
    assert len(found) > 1
    assert [name for name, text in found.items() if "await schema_is_read(" not in text] == []
