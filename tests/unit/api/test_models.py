"""Days, times and nulls in requests: accepted values, and the messages for refused ones."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.api.models import DigestRequest, FetchRequest, Moment, TaskView, task_url
from app.api.paper_models import PapersRequest
from app.api.reader_models import ImportedReader, ReaderChange, ReaderRequest
from app.days import utc_today, yesterday
from app.models.profiles import Profile
from app.models.tasks import Task, TaskKind
from app.persistence.readers import ReaderProfile
from tests.support.rows import ID, TASK

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


def message_of(model: Any, value: Any) -> str:
    """The message of a validation error."""
    with pytest.raises(ValidationError) as refused:
        model.validate_python(value) if isinstance(model, TypeAdapter) else model.model_validate(value)
    return str(refused.value.errors()[0]["msg"])


@pytest.mark.parametrize("day", [date(1991, 8, 14), utc_today()], ids=["arXiv's first day", "today"])
def test_a_past_day_is_accepted(day: date) -> None:
    assert FetchRequest.model_validate({"source_date": day.isoformat()}).source_date == day


@pytest.mark.parametrize("day", [date(1991, 8, 13), utc_today() + timedelta(days=2)], ids=["before", "to come"])
def test_a_day_out_of_range_is_refused(day: date) -> None:
    message = message_of(FetchRequest, {"source_date": day.isoformat()})
    assert message == f"Value error, {day} is not between 1991-08-14 and today (UTC)"


def test_an_omitted_day_is_yesterday_and_not_a_sent_field() -> None:
    omitted = FetchRequest.model_validate({})
    assert (omitted.source_date, omitted.sent) == (yesterday(), {})


def test_a_time_is_accepted_in_any_zone_and_returned_in_utc() -> None:
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
        ("import", f"/v1/imports/{ID}"),
        ("delivery", "/v1/tasks?kind=delivery"),
    ],
)
def test_every_kind_of_task_has_its_url(kind: str, url: str) -> None:
    task = Task.model_validate(TASK | {"kind": kind})
    assert TaskView.of(task).url == task_url(TaskKind(kind), task.task_id) == url


@pytest.mark.parametrize("name", ["name", "profile", "weekdays", "when_empty", "status", "external_id"])
def test_required_fields_of_a_reader_cannot_be_null(name: str) -> None:
    message = message_of(ReaderChange, {name: None})
    assert message == f"Value error, {name} cannot be null: omit fields that should not change"


def test_one_error_names_every_field_that_cannot_be_null() -> None:
    message = message_of(ReaderChange, {"status": None, "name": None})
    assert message.startswith("Value error, name, status cannot be null")


@pytest.mark.parametrize("name", ["user_id", "email", "timezone", "send_at", "status_reason"])
def test_optional_fields_of_a_reader_can_be_null(name: str) -> None:
    assert ReaderChange.model_validate({name: None}).columns == {name: None}


def test_an_empty_change_is_valid_and_a_new_reader_needs_a_name() -> None:
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
def test_the_documented_example_is_valid(model: type[BaseModel], names: set[str]) -> None:
    (example,) = model.model_json_schema()["examples"]
    assert model.model_validate_json(json.dumps(example)).model_fields_set == set(example) == names


@pytest.mark.parametrize("request_model", [DigestRequest, ReaderRequest])
@pytest.mark.parametrize(
    ("category", "hint"),
    [
        ("cs.ai", "did you mean cs.AI?"),
        ("CS_LG", "did you mean cs.LG?"),
        ("math.XY", "did you mean math."),
        ("", "see "),
    ],
)
def test_an_unknown_category_names_the_nearest_one(request_model: type[BaseModel], category: str, hint: str) -> None:
    categories = {"categories": ["cs.AI", category]}
    of_reader = {"name": "Ada", "profile": categories}
    of_digest = {"profile": {"name": "Ada", **categories}}
    said = message_of(request_model, of_reader if request_model is ReaderRequest else of_digest)
    assert said.startswith(f"Value error, '{category}' is not an arXiv category: {hint}")


def test_stored_profiles_may_have_categories_of_the_past() -> None:
    assert Profile.model_validate({"name": "Ada", "categories": ["cmp-lg"]}).categories == ("cmp-lg",)
    assert ReaderProfile.model_validate({"categories": ["cmp-lg"]}).categories == ("cmp-lg",)
