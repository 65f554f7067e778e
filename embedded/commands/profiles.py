"""Reads a profile from a TOML file, and explains its errors in plain language."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.models.profiles import Profile, ProfileRequest


class BadProfile(Exception):
    """A profile cannot be used; the message names the file, every wrong entry and the expected value."""


def read_profile(file: Path) -> Profile:
    """Read a profile. Raises `BadProfile`."""
    try:
        return ProfileRequest.model_validate(_toml(file))
    except ValidationError as error:
        wrong = "; ".join(_explain(problem) for problem in error.errors(include_url=False))
        raise BadProfile(f"the profile {file} is not valid: {wrong}") from None


def profile_of(interests: str, categories: str) -> Profile:
    """Return the profile with these interests and categories, each separated by commas. Raises `BadProfile`."""
    fields = {"name": "you", "interests": listed(interests), "categories": listed(categories)}
    try:
        return ProfileRequest.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(_explain(problem) for problem in error.errors(include_url=False))
        raise BadProfile(f"INTERESTS and CATEGORIES are not valid: {wrong}") from None


def listed(text: str) -> list[str]:
    """Split a text at its commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(file))
    except tomllib.TOMLDecodeError as error:
        raise BadProfile(f"the profile {file} is not TOML: {error}. profiles/example.toml shows the form.") from None
    except RecursionError:
        raise BadProfile(f"the profile {file} is not valid: its lists are nested too deeply") from None


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadProfile(f"the profile {file} cannot be read: {error.strerror}") from None
    try:
        # Some editors write a byte order mark at the start of a file.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = f"line {line} has the byte 0x{content[error.start]:02x}"
        raise BadProfile(f"the profile {file} is not UTF-8: {found}. Save the file as UTF-8.") from None


def _explain(problem: ErrorDetails) -> str:
    return f"{_entry(problem['loc'])} {_expected(problem)}"


def _entry(location: tuple[int | str, ...]) -> str:
    """The entry's name, and its position in a list, counted from 1."""
    name, *rest = location
    positions = [str(part + 1 if isinstance(part, int) else part) for part in rest]
    return f"{name}, entry {'.'.join(positions)}," if positions else str(name)


def _expected(problem: ErrorDetails) -> str:
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return f"is not a field of a profile (the fields are {', '.join(ProfileRequest.model_fields)})"
        case "tuple_type":
            return f'is {_shortened(problem["input"])}: it must be a list, such as ["graphs", "robustness"]'
        case "string_type":
            return f"is {_shortened(problem['input'])}: it must be a text in quotes"
        case "string_too_short":
            return "is empty"
        case "string_too_long":
            return f"is longer than {limits['max_length']} characters"
        case "too_long":
            return f"has {limits['actual_length']} entries: at most {limits['max_length']} are allowed"
        case _:
            return f"is {_shortened(problem['input'])}: {problem['msg'].removeprefix('Value error, ')}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  (fits into a line)
