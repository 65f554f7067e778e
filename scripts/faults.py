"""The small faults that `make mutants` injects: the changed text and its file.

Python faults are mutmut's operators and the removal of a call. SQL faults are chosen by hand, in `mutants.toml`.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "scripts" / "mutants.toml"
SQL = "sql"
"""The package name of the faults that are chosen by hand."""
FUNCTIONS = re.compile(r"^create (?:or replace )?function public\.(\w+)\(.*?\$\$;", re.MULTILINE | re.DOTALL)
"""Matches each function of a migration, with its body."""

SCOPE = re.compile(r"( *)(?:async def|def|class) (\w+)")

REASON_WEIGHT = 3
"""How often the words of the reason count, compared with those of the changed text."""


class WrongData(Exception):
    """`mutants.toml` does not match the tree, or a package's tests fail without a fault; the message says where."""


@dataclass(frozen=True)
class Mutant:
    """One fault: its place, and the file's text without it (`original`) and with it (`text`)."""

    package: str
    file: str
    line: int
    original: str
    text: str
    reason: str = ""
    description: str = "fault"
    """Words about the fault, by which its tests are found."""
    live: tuple[str, str] | None = None
    """For a fault in an SQL function: the statements that inject it into a running database, and remove it."""
    test: str = ""
    """A file of tests that run first; empty if the description finds them."""

    def diff(self) -> str:
        """The change as a unified diff with one line of context."""
        before, after = self.original.splitlines(), self.text.splitlines()
        return "\n".join(difflib.unified_diff(before, after, self.file, self.file, lineterm="", n=1))


class Finder(cst.CSTVisitor):
    """Collects possible changes of a module, except in types, decorators and texts for people."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Collect the changes of this node; return False if nothing below it may change."""
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom) or _is_text(node):
            return False
        line = self.get_metadata(PositionProvider, node).start.line
        if isinstance(node, cst.SimpleStatementLine) and _is_call(node):
            self.found.append((line, node, node.with_changes(body=[cst.Pass()])))
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                changes = [changed for changed in operator(node) if not _changes_only_text(node, changed)]
                self.found += [(line, node, changed) for changed in changes]
        return True


def _is_call(statement: cst.SimpleStatementLine) -> bool:
    (only, *more) = statement.body
    if more or not isinstance(only, cst.Expr):
        return False
    value = only.value.expression if isinstance(only.value, cst.Await) else only.value
    return isinstance(value, cst.Call) and not _is_text(value)


def _is_text(node: cst.CSTNode) -> bool:
    """Whether this is prose, a docstring, a log call, or the `assert_never` case of a `match`."""
    match node:
        case cst.SimpleString():
            return any(letter.isspace() for letter in node.value)
        case cst.FormattedString() | cst.ConcatenatedString():
            return True
        case cst.Call(func=cst.Attribute(value=cst.Name(value="log"))):
            return True
        case cst.MatchCase():
            return "assert_never" in cst.Module([]).code_for_node(node)
        case _:
            return False


def _changes_only_text(before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Whether the change concerns only text, or the unreachable case of a `match`."""
    old: list[cst.CSTNode]
    new: Sequence[cst.CSTNode]
    if isinstance(before, cst.Call) and isinstance(after, cst.Call):
        old, new = [argument for argument in before.args if _is_text(argument.value)], after.args
    elif isinstance(before, cst.Match) and isinstance(after, cst.Match):
        old, new = [case for case in before.cases if _is_text(case)], after.cases
    else:
        return False
    return any(not any(one.deep_equals(other) for other in new) for one in old)


def python_mutants(package: str, files: Sequence[str]) -> Iterator[Callable[[], Mutant]]:
    """Return each possible fault of these files as a function that builds it. Raises `WrongData` for a missing file."""
    for pattern in files:
        paths = sorted(ROOT.glob(pattern))
        if not paths:
            raise WrongData(f"{DATA.name}, package {package}: no file is called {pattern}")
        for path in paths:
            wrapper, finder = MetadataWrapper(cst.parse_module(path.read_text(encoding="utf-8"))), Finder()
            wrapper.visit(finder)
            for line, before, after in finder.found:
                yield partial(_changed, package, path, line, wrapper.module, before, after)


def _changed(
    package: str, path: Path, line: int, module: cst.Module, before: cst.CSTNode, after: cst.CSTNode
) -> Mutant:
    changed = module.deep_replace(before, after)
    assert isinstance(changed, cst.Module)  # noqa: S101  (the replaced node is below the module)
    file = path.relative_to(ROOT)
    lines = module.code.splitlines()
    words = " ".join([*file.with_suffix("").parts[1:], *scopes(lines, line)] * REASON_WEIGHT + [lines[line - 1]])
    return Mutant(package, str(file), line, module.code, changed.code, description=words, test=own_tests(file))


def scopes(lines: Sequence[str], line: int) -> list[str]:
    """Return the names of the functions and classes around this line (from 1), the innermost first."""
    names, indent = [], len(lines[line - 1])
    for text in reversed(lines[:line]):
        if (found := SCOPE.match(text)) and len(found[1]) < indent:
            names.append(found[2])
        if text.strip():
            indent = min(indent, len(text) - len(text.lstrip()))
    return names


def own_tests(file: Path) -> str:
    """Return the unit tests of a module: those with its name. Empty if it has none."""
    folders = file.parent.parts[1:] if file.parts[0] == "app" else file.parent.parts
    path = Path("tests", "unit", *folders, f"test_{file.name}")
    return str(path) if (ROOT / path).exists() else ""


def sql_mutants(listed: Sequence[dict[str, str]]) -> Iterator[Mutant]:
    """Yield the listed faults. Raises `WrongData` if a text does not occur exactly once or a later file replaces it."""
    for entry in listed:
        path = ROOT / "supabase" / "migrations" / entry["file"]
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if (count := text.count(entry["old"])) != 1:
            raise WrongData(f"{DATA.name}: {entry['old']!r} occurs {count} times in {entry['file']}, not once")
        position = text.index(entry["old"])
        if (later := _replaced_by(path, text, position)) is not None:
            raise WrongData(
                f"{DATA.name}: {entry['old']!r} of {entry['file']} is replaced by {later}: name that file in the entry"
            )
        changed = text.replace(entry["old"], entry["new"])
        place, test = (str(path.relative_to(ROOT)), text[:position].count("\n") + 1), entry.get("test", "")
        yield Mutant(SQL, *place, text, changed, entry["reason"], *_located(entry, text), test)


def _located(entry: dict[str, str], text: str) -> tuple[str, tuple[str, str] | None]:
    """Return the fault's description and, if it is in a function, the statements that inject and remove it."""
    words = " ".join([entry["reason"]] * REASON_WEIGHT + [entry["old"]])
    for found in FUNCTIONS.finditer(text):
        if entry["old"] in found[0]:
            original = found[0].replace("create function", "create or replace function", 1)
            return f"{words} {found[1]}", (original.replace(entry["old"], entry["new"]), original)
    return words, None


def _replaced_by(path: Path, text: str, position: int) -> str | None:
    """Return the later migration that replaces the function at this position, if there is one."""
    around = [found[1] for found in FUNCTIONS.finditer(text) if found.start() <= position < found.end()]
    for later in sorted(path.parent.glob("*.sql")):
        defined = {found[1] for found in FUNCTIONS.finditer(later.read_text(encoding="utf-8"))}
        if later.name > path.name and defined & set(around):
            return later.name
    return None
