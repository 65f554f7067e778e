"""Parsing and validation of readers' forms, with an error message for each field."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.api.reader_models import ReaderChange, ReaderProfileRequest
from app.pages.limits import LIMITS, PROFILE_LIMITS, SIZE_LIMITS
from app.persistence.readers import Reader

MAX_FIELDS: Final = 50
_MISSING_FIELDS: Final = "The form was incomplete. Nothing was changed. Please send it again."
_DAYS: Final = frozenset("1234567")
_LIST_FIELDS: Final = ("interests", "exclude", "authors", "categories")
_PREFERENCE_FIELDS: Final = ("goals", *_LIST_FIELDS, *SIZE_LIMITS, "language")
_SCHEDULE_FIELDS: Final = ("timezone", "send_at", "when_empty")


def _lines_error(field: str) -> str:
    limits = PROFILE_LIMITS[field]
    return f"Enter at most {limits['maxItems']} lines of at most {limits['items']['maxLength']} characters."


def _size_error(field: str) -> str:
    least, most = SIZE_LIMITS[field]
    return f"Enter a whole number from {least} to {most}."


_ERRORS: Final = {
    "form": "These values cannot be saved.",
    "email": "Enter an e-mail address such as ada@example.org.",
    "timezone": "Enter a time zone name such as Europe/Berlin, America/New_York or UTC.",
    "send_at": "Enter a time of day such as 07:00.",
    "weekdays": "Choose at least one day.",
    "when_empty": "Choose what happens on a day without new items.",
    "goals": f"Enter at most {LIMITS['goals']} characters.",
    "language": "Enter a language tag such as en, de, pt-BR or zh-Hant.",
    "categories": f"Enter at most {PROFILE_LIMITS['categories']['maxItems']} lines, each an arXiv category such as "
    "cs.LG, math.CO or hep-th.",
    **{field: _lines_error(field) for field in ("interests", "exclude", "authors")},
    **{field: _size_error(field) for field in SIZE_LIMITS},
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
    texts = {"timezone": reader.timezone or "", "send_at": send_at, "when_empty": reader.when_empty}
    return texts | {"weekdays": reader.weekdays}


def submitted_schedule(reader: Reader, form: Form) -> dict[str, Any]:
    """Return the submitted schedule as values of the form. Fields that are missing keep the reader's values."""
    stored = schedule_values(reader)
    texts = {name: value_of(form, name, stored[name]).strip() for name in _SCHEDULE_FIELDS}
    days = [int(day) for day in form.get("weekdays", ()) if day in _DAYS]
    return texts | {"weekdays": sorted(set(days))}


def require_schedule(form: Form) -> None:
    """Raise `InvalidForm` if a field is missing: an incomplete form must not change stored values."""
    _require_fields(form, _SCHEDULE_FIELDS)


def schedule_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a submitted schedule sets. Raises `InvalidForm`."""
    try:
        return ReaderChange.model_validate(values).columns
    except ValidationError as error:
        raise field_errors(error) from None


def preference_values(reader: Reader) -> dict[str, str]:
    """Return a reader's preferences as values of the form, lists with one entry per line."""
    profile = reader.profile
    return {
        name: "\n".join(getattr(profile, name)) if name in _LIST_FIELDS else str(getattr(profile, name))
        for name in _PREFERENCE_FIELDS
    }


def submitted_preferences(reader: Reader, form: Form) -> dict[str, str]:
    """Return the submitted preferences as values of the form. Fields that are missing keep the reader's values."""
    stored = preference_values(reader)
    texts = {name: "\n".join(value_of(form, name, stored[name]).splitlines()) for name in _PREFERENCE_FIELDS}
    return texts | {name: texts[name].strip() for name in ("language", *SIZE_LIMITS)}


def require_preferences(form: Form) -> None:
    """Raise `InvalidForm` if a field is missing: an incomplete form must not change stored values."""
    _require_fields(form, _PREFERENCE_FIELDS)


def preference_columns(reader: Reader, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns that submitted preferences set; other profile fields are kept. Raises `InvalidForm`."""
    lists = {name: list(filter(None, map(str.strip, values[name].splitlines()))) for name in _LIST_FIELDS}
    changes: dict[str, Any] = {name: values[name] for name in ("goals", "language", *SIZE_LIMITS)}
    changes |= {name: list(dict.fromkeys(each)) for name, each in lists.items()}
    try:
        profile = ReaderProfileRequest.model_validate(reader.profile.model_dump() | changes)
    except ValidationError as error:
        raise field_errors(error) from None
    return {"profile": profile.model_dump(mode="json")}


def value_of(form: Form, field: str, default: str = "") -> str:
    """Return the one value of a field; `default` if it is missing, or has several values."""
    values = form.get(field, ())
    return values[0] if len(values) == 1 else default


def single_value(form: Form, field: str) -> str:
    """Return the one value of a field. Raises `InvalidForm` if the form is incomplete."""
    _require_fields(form, (field,))
    return form[field][0]


def _require_fields(form: Form, fields: Iterable[str]) -> None:
    if any(len(form.get(field, ())) != 1 for field in fields):
        raise InvalidForm({"form": _MISSING_FIELDS})


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
