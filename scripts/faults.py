"""The small faults that `make mutants` plants: what is changed, and in which file.

Those of Python are mutmut's operators, and the removal of a call; the SQL's are chosen by hand, in `mutants.toml`.
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
"""The package of the faults that are chosen by hand."""
FUNCTIONS = re.compile(r"^create (?:or replace )?function public\.(\w+)\(.*?\$\$;", re.MULTILINE | re.DOTALL)
"""Each function of a migration, with its body."""


class WrongData(Exception):
    """`mutants.toml` does not fit the tree, or a package's tests fail without any fault; the text says where."""


@dataclass(frozen=True)
class Mutant:
    """One fault: where it lies, and the text of the file without and with it."""

    package: str
    file: str
    line: int
    sound: str
    text: str
    reason: str = ""

    def diff(self) -> str:
        """The change as a unified diff with one line around it."""
        before, after = self.sound.splitlines(), self.text.splitlines()
        return "\n".join(difflib.unified_diff(before, after, self.file, self.file, lineterm="", n=1))


class Finder(cst.CSTVisitor):
    """Collects what can be changed in a module, but for types, decorators, and texts that only people read."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Note each change of this node; False where nothing below is to be changed."""
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom) or _only_for_people(node):
            return False
        line = self.get_metadata(PositionProvider, node).start.line
        if isinstance(node, cst.SimpleStatementLine) and _is_call(node):
            self.found.append((line, node, node.with_changes(body=[cst.Pass()])))
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                changes = [changed for changed in operator(node) if not _tells_nothing(node, changed)]
                self.found += [(line, node, changed) for changed in changes]
        return True


def _is_call(statement: cst.SimpleStatementLine) -> bool:
    (only, *more) = statement.body
    if more or not isinstance(only, cst.Expr):
        return False
    value = only.value.expression if isinstance(only.value, cst.Await) else only.value
    return isinstance(value, cst.Call) and not _only_for_people(value)


def _only_for_people(node: cst.CSTNode) -> bool:
    """Prose, docstrings included, a line of the log, or the end of a `match` that the type checker reads."""
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


def _tells_nothing(before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Whether only words are changed, or the end of a `match` that is never reached."""
    old: list[cst.CSTNode]
    new: Sequence[cst.CSTNode]
    if isinstance(before, cst.Call) and isinstance(after, cst.Call):
        old, new = [argument for argument in before.args if _only_for_people(argument.value)], after.args
    elif isinstance(before, cst.Match) and isinstance(after, cst.Match):
        old, new = [case for case in before.cases if _only_for_people(case)], after.cases
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
    assert isinstance(changed, cst.Module)  # noqa: S101  (what is replaced lies below it)
    return Mutant(package, str(path.relative_to(ROOT)), line, module.code, changed.code)


def sql_mutants(listed: Sequence[dict[str, str]]) -> Iterator[Mutant]:
    """The faults of the list. Raises `WrongData` where its text does not occur exactly once, or is replaced."""
    for entry in listed:
        path = ROOT / "supabase" / "migrations" / entry["file"]
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if (count := text.count(entry["old"])) != 1:
            raise WrongData(f"{DATA.name}: {entry['old']!r} occurs {count} times in {entry['file']}, not once")
        place = text.index(entry["old"])
        if (later := _replaced_by(path, text, place)) is not None:
            raise WrongData(f"{DATA.name}: {entry['old']!r} of {entry['file']} is replaced by {later}: plant it there")
        changed = text.replace(entry["old"], entry["new"])
        yield Mutant(SQL, str(path.relative_to(ROOT)), text[:place].count("\n") + 1, text, changed, entry["reason"])


def _replaced_by(path: Path, text: str, place: int) -> str | None:
    """The later migration that makes the function anew that has this place, if any does."""
    around = [found[1] for found in FUNCTIONS.finditer(text) if found.start() <= place < found.end()]
    for later in sorted(path.parent.glob("*.sql")):
        made = {found[1] for found in FUNCTIONS.finditer(later.read_text(encoding="utf-8"))}
        if later.name > path.name and made & set(around):
            return later.name
    return None
