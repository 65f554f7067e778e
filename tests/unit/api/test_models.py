"""Days, moments and nulls in requests: which are taken, as what, and what is said of the others."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.api.models import DigestRequest, FetchRequest, Moment, TaskView, task_url
from app.api.paper_models import PapersRequest
from app.api.reader_models import ImportedReader, ReaderChange, ReaderRequest
from app.days import utc_today, yesterday
from app.models import Task, TaskKind
from tests.integration.api.rows import ID, TASK

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


def message_of(model: Any, value: Any) -> str:
    """What is said of a value that is refused."""
    with pytest.raises(ValidationError) as refused:
        model.validate_python(value) if isinstance(model, TypeAdapter) else model.model_validate(value)
    return str(refused.value.errors()[0]["msg"])


@pytest.mark.parametrize("day", [date(1991, 8, 14), utc_today()], ids=["arXiv's first day", "today"])
def test_a_day_that_there_was_is_taken(day: date) -> None:
    assert FetchRequest.model_validate({"source_date": day.isoformat()}).source_date == day


@pytest.mark.parametrize("day", [date(1991, 8, 13), utc_today() + timedelta(days=2)], ids=["before", "to come"])
def test_a_day_that_there_was_not_is_refused(day: date) -> None:
    said = message_of(FetchRequest, {"source_date": day.isoformat()})
    assert said == f"Value error, {day} is not between 1991-08-14 and today (UTC)"


def test_a_day_that_is_left_out_is_yesterday_and_no_part_of_what_was_sent() -> None:
    left_out = FetchRequest.model_validate({})
    assert (left_out.source_date, left_out.sent) == (yesterday(), {})


def test_a_moment_is_taken_in_any_zone_and_told_in_utc() -> None:
    found = MOMENT.validate_python("2026-03-04T00:00:00+14:00")
    assert (found, found.tzinfo) == (datetime(2026, 3, 3, 10, tzinfo=UTC), UTC)
    assert message_of(MOMENT, "0001-01-01T00:00:00+01:00") == "Value error, this time is out of range"
    assert message_of(MOMENT, "2026-03-04T00:00:00") == "Input should have timezone info"


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("digest", f"/v1/digests/{ID}"),
        ("fetch", f"/v1/fetches/{ID}"),
        ("callback", f"/v1/callbacks/{ID}"),
        ("delivery", "/v1/tasks?kind=delivery"),
    ],
)
def test_each_kind_of_task_is_found_somewhere(kind: str, url: str) -> None:
    task = Task.model_validate(TASK | {"kind": kind})
    assert TaskView.of(task).url == task_url(TaskKind(kind), task.task_id) == url


@pytest.mark.parametrize("name", ["name", "profile", "weekdays", "when_empty", "status", "external_id"])
def test_what_every_reader_has_cannot_be_taken_away(name: str) -> None:
    said = message_of(ReaderChange, {name: None})
    assert said == f"Value error, {name} cannot be null: omit fields that should not change"


def test_all_that_cannot_be_taken_away_is_named_at_once() -> None:
    said = message_of(ReaderChange, {"status": None, "name": None})
    assert said.startswith("Value error, name, status cannot be null")


@pytest.mark.parametrize("name", ["user_id", "email", "timezone", "send_at", "status_reason"])
def test_what_a_reader_need_not_have_can_be_taken_away(name: str) -> None:
    assert ReaderChange.model_validate({name: None}).columns == {name: None}


def test_a_change_of_nothing_is_none_and_a_new_reader_needs_a_name() -> None:
    assert ReaderChange.model_validate({}).columns == {}
    assert message_of(ReaderRequest, {}) == "Field required"
    assert message_of(ImportedReader, {"name": "Ada"}) == "Field required"
    assert ReaderRequest.model_validate({"name": "Ada"}).welcome is False


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (DigestRequest, {"profile", "source_date", "max_papers", "max_news"}),
        (ReaderRequest, {"external_id", "name", "email", "profile", "timezone", "send_at", "weekdays"}),
        (PapersRequest, {"papers"}),
    ],
)
def test_the_example_of_a_request_is_one_that_is_taken(model: type[BaseModel], names: set[str]) -> None:
    (example,) = model.model_json_schema()["examples"]
    assert model.model_validate_json(json.dumps(example)).model_fields_set == set(example) == names
