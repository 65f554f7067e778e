"""The pages' fields and messages have the limits of the models."""

import re
from pathlib import Path
from typing import Any

import pytest

import app.pages
from app.api.reader_models import ReaderChange
from app.pages.forms import field_error
from app.pages.limits import LIMITS
from app.persistence.readers import ReaderProfile

TEMPLATES = Path(app.pages.__file__).parent / "templates"
LISTS = ("interests", "exclude", "authors")


def schema_of(field: str) -> dict[str, Any]:
    found: dict[str, Any] = ReaderProfile.model_json_schema()["properties"][field]
    return found


def numbers_in(field: str) -> list[int]:
    """The numbers in the message for an invalid field."""
    return [int(number) for number in re.findall(r"\d+", field_error(field).problems[field])]


def test_every_maxlength_of_a_template_is_a_named_limit() -> None:
    texts = [file.read_text(encoding="utf-8") for file in TEMPLATES.rglob("*.j2")]
    found = {value for text in texts for value in re.findall(r'maxlength="([^"]*)"', text)}
    assert found == {f"{{{{ limits.{name} }}}}" for name in LIMITS if name != "goals"} | {"{{ limits[field] }}"}


@pytest.mark.parametrize("field", LISTS)
def test_the_message_of_a_list_states_the_models_limits(field: str) -> None:
    assert numbers_in(field) == [schema_of(field)["maxItems"], schema_of(field)["items"]["maxLength"]]


def test_the_messages_of_goals_and_categories_state_theirs() -> None:
    expected = [schema_of("goals")["maxLength"], schema_of("categories")["maxItems"]]
    assert [*numbers_in("goals"), *numbers_in("categories")] == expected


def test_the_fields_of_a_reader_have_the_models_lengths() -> None:
    properties = ReaderChange.model_json_schema()["properties"]
    (pattern,) = [each["pattern"] for each in properties["external_id"]["anyOf"] if "pattern" in each]
    (length,) = [each["maxLength"] for each in properties["timezone"]["anyOf"] if "maxLength" in each]
    assert (f"{{1,{LIMITS['external_id']}}}" in pattern, LIMITS["timezone"]) == (True, length)
