"""Loads settings from the environment and `.env`, and explains every invalid one."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from app.errors import ConfigurationError

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def load_settings(kind: type[SettingsT]) -> SettingsT:
    """Load the settings of class `kind` from the environment and `.env`.

    Raises `ConfigurationError`, whose text names every invalid variable, its value and what is expected. It never
    contains the value of a secret.
    """
    try:
        return kind()
    except ValidationError as error:
        raise ConfigurationError(_explain(kind, error.errors())) from None


def _explain(kind: type[BaseSettings], problems: Sequence[ErrorDetails]) -> str:
    lines = [_explain_one(kind.model_fields.get(str(p["loc"][0])), p) for p in problems if p["loc"]]
    lines += [str(p["msg"]).removeprefix("Value error, ") for p in problems if not p["loc"]]
    count = "one setting is" if len(lines) == 1 else f"{len(lines)} settings are"
    return "\n  ".join([f"Broadsheet cannot start: {count} invalid.", *lines]) + (
        "\nSet them in the environment or in .env; .env.example lists all of them."
    )


def _explain_one(field: FieldInfo | None, problem: ErrorDetails) -> str:
    name = str(problem["loc"][0]).upper()
    expected = field.description if field is not None else "a valid value"
    if problem["type"] == "missing":
        return f"{name} is not set. Expected: {expected}."
    reason = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name} is {_printable(field, problem['input'])}: {reason}. Expected: {expected}."


def _printable(field: FieldInfo | None, value: Any) -> str:
    if field is None or _holds_secret(field.annotation):
        return "set to a secret value"
    return json.dumps(value, default=str)


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_holds_secret(inner) for inner in get_args(annotation))
