"""Reads a readers file (TOML, one `[[reader]]` per person). Errors name the line."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.api.confirmations import NO_CONFIRMATIONS
from app.api.reader_libraries import LibraryRequest
from app.api.reader_models import ImportedReader
from app.errors import ConfigurationError
from app.persistence.readers import ReaderProfile
from app.persistence.readers_file import FileEntry, FileLibrary

MAX_BYTES: Final = 5_000_000
MAX_READERS: Final = 10_000
MAX_ERRORS: Final = 20
MAX_SHOWN: Final = 80
"""Characters of a wrong value that an error shows."""
EXAMPLE: Final = "readers.example.toml shows the form"
COLUMNS: Final = {"key": "external_id", "time": "send_at"} | {
    name: name for name in ("name", "email", "timezone", "weekdays", "when_empty", "confirm")
}
"""The columns of fields that are not part of the profile."""
LIBRARY: Final = "library"
FIELDS: Final = (*COLUMNS, *ReaderProfile.model_fields, LIBRARY)
DEFAULTS: Final[Mapping[str, Any]] = {
    "email": None,
    "timezone": "UTC",
    "send_at": "07:00",
    "weekdays": [1, 2, 3, 4, 5, 6, 7],
    "when_empty": "skip",
    "confirm": False,
    "profile": ReaderProfile().model_dump(mode="json"),
}
"""The values of fields that an entry omits."""
_FORMS: Final = {
    "key": "use 1 to 200 letters, digits and signs without blanks",
    "time": 'use a time of day such as "07:00"',
    "email": "use an e-mail address such as ada@example.org",
}
_HEADER: Final = re.compile(r"^[ \t]*\[\[[ \t]*(\"reader\"|'reader'|reader)[ \t]*\]\]")
_LIBRARY_HEADER: Final = re.compile(r"^[ \t]*\[[ \t]*reader[ \t]*\.[ \t]*library[ \t]*\]")
_LIBRARY_FORM: Final = 'library = { id = "users/475425", key = "env:NAME", collections = ["Thesis/**"] }'
_FIELD: Final = re.compile(r"^[ \t]*[\"']?([A-Za-z_]+)[\"']?[ \t]*=")


class InvalidReadersFile(ConfigurationError):
    """The readers file cannot be used: nothing of it was applied. The text names the lines."""

    title = "Invalid readers file"


@dataclass(frozen=True)
class PlacedEntry:
    """An entry, and the lines of the file on which it and its fields begin."""

    entry: FileEntry
    line: int
    lines: Mapping[str, int]


def read_readers_file(path: Path, environment: Mapping[str, str], *, can_confirm: bool = True) -> list[PlacedEntry]:
    """Read and check the whole file. A value `env:NAME` is replaced by the variable NAME of `environment`.

    `can_confirm`: whether the settings allow confirmation mails. Raises `InvalidReadersFile`, which lists up to
    `MAX_ERRORS` errors.
    """
    text = _text(path)
    tables = _tables(path, text)
    entries, errors, seen = [], [], dict[str, int]()
    for table, (line, lines) in zip(tables, _places(text, len(tables)), strict=True):
        try:
            entry = _entry(table, environment)
        except _Errors as wrong:
            errors += [f"line {lines.get(field, line)}: {problem}" for field, problem in wrong.problems]
            continue
        if entry.values["confirm"] and not can_confirm:
            errors.append(f"line {lines.get('confirm', line)}: {NO_CONFIRMATIONS}")
        if entry.key in seen:
            errors.append(
                f"line {lines.get('key', line)}: the key {entry.key!r} belongs to line {seen[entry.key]} already"
            )
        seen.setdefault(entry.key, lines.get("key", line))
        entries.append(PlacedEntry(entry, line, lines))
    if errors:
        raise _invalid(path, errors)
    return entries


def _invalid(path: Path, errors: Sequence[str]) -> InvalidReadersFile:
    more = [f"and {len(errors) - MAX_ERRORS} more"] if len(errors) > MAX_ERRORS else []
    listed = "\n  ".join([*errors[:MAX_ERRORS], *more])
    return InvalidReadersFile(
        f"The readers file {path} is not valid, so nothing of it was applied ({EXAMPLE}):\n  {listed}"
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidReadersFile(f"The readers file {path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise InvalidReadersFile(f"The readers file {path} has more than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _invalid(path, [f"line {line}: it is not UTF-8: save the file as UTF-8"]) from None


def _tables(path: Path, text: str) -> list[dict[str, Any]]:
    """Parse the file into its readers."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(path, [re.sub(r"(.*) \(at line (\d+), (.*)\)", r"line \2: \1 (\3)", str(error))]) from None
    except RecursionError:
        raise _invalid(path, ["its lists are nested too deeply"]) from None
    tables = document.pop("reader", None)
    if document:
        raise _invalid(path, [f"{', '.join(document)} is outside of a [[reader]]"])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise _invalid(path, ["it has no reader: write [[reader]] above the fields of each one"])
    if len(tables) > MAX_READERS:
        raise _invalid(path, [f"it has {len(tables)} readers: at most {MAX_READERS} are allowed"])
    return tables


def _places(text: str, count: int) -> list[tuple[int, dict[str, int]]]:
    """Return for each reader its line and the lines of its fields.

    tomllib reports no positions. A header within a text of several lines is none: the part before it is not TOML.
    """
    lines = text.splitlines()
    starts: list[int] = []
    for number, line in enumerate(lines):
        if _HEADER.match(line) and (not starts or _is_toml(lines[starts[-1] : number])):
            starts.append(number)
    ends = [*starts[1:], len(lines)]
    places = [(start + 1, _fields(lines, start, end)) for start, end in zip(starts, ends, strict=True)]
    # Written in another way, such as `reader = [{...}]`.
    return places if len(places) == count else [(1, {})] * count


def _is_toml(lines: Sequence[str]) -> bool:
    try:
        tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return False
    return True


def _fields(lines: Sequence[str], start: int, end: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for number in range(start + 1, end):
        if _LIBRARY_HEADER.match(lines[number]):
            found.setdefault(LIBRARY, number + 1)
        elif field := _FIELD.match(lines[number]):
            found.setdefault(field[1], number + 1)
    return found


class _Errors(Exception):
    """The problems of an entry, each with the name of its field."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.problems = problems


def _entry(table: Mapping[str, Any], environment: Mapping[str, str]) -> FileEntry:
    """Check an entry with the model of the API's import. Raises `_Errors`."""
    unknown = [
        (name, f"{name} is not a field of a reader (the fields are {', '.join(FIELDS)})")
        for name in table
        if name not in FIELDS
    ]
    resolved, missing = {}, []
    for name, value in table.items():
        resolved[name], variables = _resolved(value, environment)
        missing += [(name, f"{name} is env:{each}, but the variable {each} is not set") for each in variables]
    if unknown or missing:
        raise _Errors([*unknown, *missing])
    library = _library(resolved.pop(LIBRARY), table[LIBRARY]) if LIBRARY in resolved else None
    columns = {COLUMNS[name]: _column(value) for name, value in resolved.items() if name in COLUMNS}
    profile = {name: value for name, value in resolved.items() if name not in COLUMNS}
    try:
        reader = ImportedReader.model_validate(columns | {"profile": profile})
    except ValidationError as error:
        raise _Errors([_problem(each, table) for each in error.errors(include_url=False)]) from None
    given = reader.columns
    values = {name: value for name, value in given.items() if name != "external_id"}
    profile = DEFAULTS["profile"] | values.get("profile", {})
    return FileEntry(str(given["external_id"]), {**DEFAULTS, **values, "profile": profile}, library)


def _library(resolved: Any, given: Any) -> FileLibrary:
    """Check the library of an entry. Raises `_Errors`, which never quotes the key."""
    if not isinstance(given, dict) or set(given) - {"id", "key", "collections"} or not {"id", "key"} <= set(given):
        raise _Errors([(LIBRARY, f"library has another form: write {_LIBRARY_FORM}")])
    if not isinstance(given["key"], str) or not given["key"].startswith("env:"):
        raise _Errors([(LIBRARY, "the key of the library is a secret: write env:NAME and set the variable NAME")])
    try:
        library = LibraryRequest.model_validate(resolved)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field, reason = first["loc"][0], str(first["msg"]).removeprefix("Value error, ")
        raise _Errors([(LIBRARY, f"library, {field}: {reason} (write {_LIBRARY_FORM})")]) from None
    if library.key is None:
        raise _Errors([(LIBRARY, f"library has no key: write {_LIBRARY_FORM}")])
    return FileLibrary(library.id, library.key, library.collections)


def _column(value: Any) -> Any:
    """Return the column of a value. TOML has a type for times: 07:00:00."""
    return value.isoformat("minutes") if isinstance(value, time) and not value.second else value


def _resolved(value: Any, environment: Mapping[str, str]) -> tuple[Any, list[str]]:
    """Replace `env:NAME` in a text, and in lists and tables; also return the names of variables that are not set."""
    if isinstance(value, dict):
        resolved = {name: _resolved(each, environment) for name, each in value.items()}
        return {name: part for name, (part, _) in resolved.items()}, [
            n for _, names in resolved.values() for n in names
        ]
    if isinstance(value, list):
        parts = [_resolved(each, environment) for each in value]
        return [part for part, _ in parts], [name for _, names in parts for name in names]
    if not isinstance(value, str) or not value.startswith("env:"):
        return value, []
    name = value.removeprefix("env:")
    return (environment[name], []) if environment.get(name) else (value, [name])


def _problem(error: ErrorDetails, table: Mapping[str, Any]) -> tuple[str, str]:
    """Return the field and the text of an error. It quotes the file, never the value of a variable."""
    if not error["loc"]:
        return "confirm", str(error["msg"]).removeprefix("Value error, ")
    path = [str(part + 1) if isinstance(part, int) else part for part in error["loc"] if part != "profile"]
    columns = {column: field for field, column in COLUMNS.items()}
    field = columns.get(path[0], path[0]) if path else "reader"
    if error["type"] == "missing":
        return field, f"{field} is missing"
    entry = f"{field}, entry {path[1]}," if len(path) > 1 else field
    reason = str(error["msg"]).removeprefix("Value error, ")
    shown = repr(table.get(field, ""))
    shown = shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN - 3]}..."
    return field, f"{entry} is {shown}: {_FORMS.get(field, reason)}"
