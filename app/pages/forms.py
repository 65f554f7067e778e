"""What readers' forms say: read without trust, and what is wrong with it in words for its field."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import Request
from pydantic import ValidationError

from app.api.reader_models import ReaderChange, ReaderProfileRequest
from app.persistence.readers import Reader

MAX_FIELDS: Final = 50
_INCOMPLETE: Final = "The form came incomplete, so nothing was changed. Please send it again."
_DAYS: Final = frozenset("1234567")
_LINES: Final = ("interests", "exclude", "authors", "categories")
_RULES: Final = {
    "form": "This cannot be kept as it is.",
    "timezone": "This is no time zone: it takes a name such as Europe/Berlin, America/New_York or UTC.",
    "send_at": "This is no time of day: it takes one such as 07:00.",
    "weekdays": "It takes one day at least.",
    "goals": "It takes at most 2000 characters.",
    "interests": "It takes at most 30 lines of at most 100 characters.",
    "exclude": "It takes at most 30 lines of at most 100 characters.",
    "authors": "It takes at most 50 lines of at most 100 characters.",
    "categories": "It takes at most 20 lines, each a category as arXiv writes it: cs.LG, math.CO or hep-th.",
}


class BadForm(Exception):
    """What was sent cannot be kept: `problems` by field, `form` for the whole."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(", ".join(problems))
        self.problems = problems


def broken(field: str) -> BadForm:
    """The rule of `field` is broken."""
    return BadForm({field: _RULES[field]})


Form = Mapping[str, Sequence[str]]


async def form_of(request: Request) -> Form:
    """Read what was sent as a browser's plain form; nothing at all where it is anything else."""
    body = await request.body()
    try:
        return parse_qs(body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}


async def leads_back(request: Request) -> bool:
    """Whether the button was pressed that undoes what its page does."""
    return (await form_of(request)).get("do") == ["back"]


def schedule_shown(reader: Reader) -> dict[str, Any]:
    """What the schedule's form shows of a reader."""
    send_at = f"{reader.send_at:%H:%M}" if reader.send_at is not None else ""
    return {"timezone": reader.timezone or "", "send_at": send_at, "weekdays": reader.weekdays}


def schedule_sent(form: Form) -> dict[str, Any]:
    """What was sent, as the schedule's form shows it again. Raises `BadForm` if the form came incomplete."""
    days = [int(day) for day in form.get("weekdays", ()) if day in _DAYS]
    return {
        "timezone": _only(form, "timezone").strip(),
        "send_at": _only(form, "send_at"),
        "weekdays": sorted(set(days)),
    }


def schedule_columns(sent: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a sent schedule sets. Raises `BadForm`."""
    try:
        return ReaderChange.model_validate(sent).columns
    except ValidationError as error:
        raise _bad(error) from None


def words_shown(reader: Reader) -> dict[str, str]:
    """What the words' form shows of a reader, a thing a line."""
    profile = reader.profile
    return {"goals": profile.goals} | {name: "\n".join(getattr(profile, name)) for name in _LINES}


def words_sent(form: Form) -> dict[str, str]:
    """What was sent, as the words' form shows it again. Raises `BadForm` if the form came incomplete."""
    return {name: "\n".join(_only(form, name).splitlines()) for name in ("goals", *_LINES)}


def words_columns(reader: Reader, sent: Mapping[str, str]) -> dict[str, Any]:
    """The columns that sent words set; what the form does not show stays. Raises `BadForm`."""
    lines = {name: list(filter(None, map(str.strip, sent[name].splitlines()))) for name in _LINES}
    words = {"goals": sent["goals"]} | {name: list(dict.fromkeys(each)) for name, each in lines.items()}
    try:
        profile = ReaderProfileRequest.model_validate(reader.profile.model_dump() | words)
    except ValidationError as error:
        raise _bad(error) from None
    return {"profile": profile.model_dump(mode="json")}


def _only(form: Form, field: str) -> str:
    """The one value of a field. A form that lacks it must not empty what it would have held."""
    values = form.get(field, ())
    if len(values) != 1:
        raise BadForm({"form": _INCOMPLETE})
    return values[0]


def _bad(error: ValidationError) -> BadForm:
    fields = [str(problem["loc"][0]) for problem in error.errors(include_url=False, include_input=False)]
    return BadForm({field: _RULES[field] for field in fields})
