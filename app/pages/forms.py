"""Parsing and validation of readers' forms, with an error message for each field."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.api.reader_models import ReaderChange, ReaderProfileRequest
from app.persistence.readers import Reader

MAX_FIELDS: Final = 50
_MISSING_FIELDS: Final = "The form was incomplete. Nothing was changed. Please send it again."
_DAYS: Final = frozenset("1234567")
_LIST_FIELDS: Final = ("interests", "exclude", "authors", "categories")
_ERRORS: Final = {
    "form": "These values cannot be saved.",
    "email": "Enter an e-mail address such as ada@example.org.",
    "timezone": "Enter a time zone name such as Europe/Berlin, America/New_York or UTC.",
    "send_at": "Enter a time of day such as 07:00.",
    "weekdays": "Choose at least one day.",
    "goals": "Enter at most 2000 characters.",
    "interests": "Enter at most 30 lines of at most 100 characters.",
    "exclude": "Enter at most 30 lines of at most 100 characters.",
    "authors": "Enter at most 50 lines of at most 100 characters.",
    "language": "Enter a language tag such as en, de, pt-BR or zh-Hant.",
    "categories": "Enter at most 20 lines, each an arXiv category such as cs.LG, math.CO or hep-th.",
}


class InvalidForm(Exception):
    """The submitted values are invalid. `problems` holds a message by field; the key `form` is for the whole form."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(", ".join(problems))
        self.problems = problems


def field_error(field: str) -> InvalidForm:
    """Return the error for an invalid `field`."""
    return InvalidForm({field: _ERRORS[field]})


Form = Mapping[str, Sequence[str]]


async def parse_form(request: Request) -> Form:
    """Parse a URL-encoded body. Any other body gives an empty form."""
    body = await request.body()
    try:
        return parse_qs(body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}


async def is_undo(request: Request) -> bool:
    """Whether the reader pressed the button that undoes the page's action."""
    return (await parse_form(request)).get("do") == ["undo"]


def schedule_values(reader: Reader) -> dict[str, Any]:
    """Return a reader's schedule as values of the form."""
    send_at = f"{reader.send_at:%H:%M}" if reader.send_at is not None else ""
    return {"timezone": reader.timezone or "", "send_at": send_at, "weekdays": reader.weekdays}


def submitted_schedule(form: Form) -> dict[str, Any]:
    """Return the submitted schedule as values of the form. Raises `InvalidForm` if a field is missing."""
    days = [int(day) for day in form.get("weekdays", ()) if day in _DAYS]
    return {
        "timezone": single_value(form, "timezone").strip(),
        "send_at": single_value(form, "send_at"),
        "weekdays": sorted(set(days)),
    }


def schedule_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a submitted schedule sets. Raises `InvalidForm`."""
    try:
        return ReaderChange.model_validate(values).columns
    except ValidationError as error:
        raise field_errors(error) from None


def preference_values(reader: Reader) -> dict[str, str]:
    """Return a reader's preferences as values of the form, lists with one entry per line."""
    profile = reader.profile
    return {"goals": profile.goals, "language": profile.language} | {
        name: "\n".join(getattr(profile, name)) for name in _LIST_FIELDS
    }


def submitted_preferences(form: Form) -> dict[str, str]:
    """Return the submitted preferences as values of the form. Raises `InvalidForm` if a field is missing."""
    texts = {name: "\n".join(single_value(form, name).splitlines()) for name in ("goals", *_LIST_FIELDS)}
    return texts | {"language": single_value(form, "language").strip()}


def preference_columns(reader: Reader, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns that submitted preferences set; other profile fields are kept. Raises `InvalidForm`."""
    lists = {name: list(filter(None, map(str.strip, values[name].splitlines()))) for name in _LIST_FIELDS}
    changes = {"goals": values["goals"], "language": values["language"]} | {
        name: list(dict.fromkeys(each)) for name, each in lists.items()
    }
    try:
        profile = ReaderProfileRequest.model_validate(reader.profile.model_dump() | changes)
    except ValidationError as error:
        raise field_errors(error) from None
    return {"profile": profile.model_dump(mode="json")}


def single_value(form: Form, field: str) -> str:
    """Return the one value of a field. Raises `InvalidForm`: an incomplete form must not clear stored values."""
    values = form.get(field, ())
    if len(values) != 1:
        raise InvalidForm({"form": _MISSING_FIELDS})
    return values[0]


def field_errors(error: ValidationError) -> InvalidForm:
    """Return the messages for the fields that a model refused."""
    problems = error.errors(include_url=False, include_input=False)
    return InvalidForm({str(problem["loc"][0]): _field_message(problem) for problem in problems})


def _field_message(problem: ErrorDetails) -> str:
    """Return the field's message; for unknown categories, their names and the nearest valid ones."""
    field = str(problem["loc"][0])
    if field == "categories" and problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    return _ERRORS[field]
