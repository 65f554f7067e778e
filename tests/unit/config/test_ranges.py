"""Ranges of numeric settings: the documented limits are accepted, and the next number beyond them is refused."""

import re

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from app.config import ApiSettings, WorkerSettings

SUPABASE = {"supabase_url": "https://abc.supabase.co", "supabase_key": "sb_secret_abc"}
RANGE = re.compile(r"\b([\d.]+) to (\d+)(?=;|,|$)|\b(above 0), up to (\d+)|\b(\d+) or more")
UNDOCUMENTED = {
    "port": ("0", "65535"),
    "metrics_port": ("0", "65535"),
    "worker_port": ("0", "65535"),
    "lease_seconds": ("above 0", "3600"),
}
"""Their descriptions say something more useful."""


def numeric_fields() -> list[tuple[type[BaseSettings], str]]:
    by_name = {name: model for model in (ApiSettings, WorkerSettings) for name in model.model_fields}
    fields = {name: model.model_fields[name] for name, model in by_name.items()}
    return [(by_name[name], name) for name, field in fields.items() if re.search("int|float", str(field.annotation))]


def limits(name: str, field: FieldInfo) -> tuple[str, str]:
    if name in UNDOCUMENTED:
        return UNDOCUMENTED[name]
    found = RANGE.search(field.description or "")
    assert found is not None, f"the description of {name} has no range"
    return found[1] or found[3] or found[5], found[2] or found[4] or "inf"


def is_accepted(settings: type[BaseSettings], name: str, value: float) -> bool:
    try:
        settings.model_validate(SUPABASE | {name: value})
    except ValidationError as error:
        return all(problem["loc"][:1] != (name,) for problem in error.errors())
    return True


@pytest.mark.parametrize(("settings", "name"), numeric_fields())
def test_a_number_has_its_documented_range(settings: type[BaseSettings], name: str) -> None:
    field = settings.model_fields[name]
    low, high = limits(name, field)
    step = 1 if "int" in str(field.annotation) else 0.001
    lowest = step if low == "above 0" else float(low)
    assert is_accepted(settings, name, lowest)
    assert not is_accepted(settings, name, lowest - step)
    if high == "inf":
        assert is_accepted(settings, name, 10**9)
    else:
        assert is_accepted(settings, name, float(high))
        assert not is_accepted(settings, name, float(high) + step)


def test_the_numeric_settings_are_found() -> None:
    names = {name for _, name in numeric_fields()}
    assert len(names) > 20
    assert {"port", "mail_rate", "daily_digests", "lease_seconds"} <= names
