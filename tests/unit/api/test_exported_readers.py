"""An exported reader has everything that an import can set, so that no value is lost on the way."""

import json
from datetime import UTC, datetime, time
from uuid import UUID

import pytest

from app.api.reader_models import ImportedReader, ReaderChange, exported
from app.persistence.readers import Reader, ReaderProfile, ReaderStatus

MOMENT = datetime(2026, 11, 28, tzinfo=UTC)
PROFILE = ReaderProfile(
    title="Glaciologist",
    goals="Read ice.",
    interests=("ice",),
    exclude=("blockchain",),
    authors=("Ada First",),
    categories=("cs.LG",),
    language="de",
    max_papers=3,
    max_news=0,
)
READER = Reader(
    reader_id=UUID(int=1),
    owner="ada",
    external_id="r-1",
    user_id=UUID(int=2),
    name="Ada",
    email="ada@example.org",
    profile=PROFILE,
    timezone="Europe/Berlin",
    send_at=time(7, 5),
    weekdays=(1, 7),
    when_empty="notify",
    status=ReaderStatus.PAUSED,
    status_reason="on a journey",
    next_due_at=MOMENT,
    created_at=MOMENT,
    updated_at=MOMENT,
)


def test_an_exported_reader_has_every_field_of_a_change() -> None:
    line = json.loads(exported(READER))
    assert line.keys() == ReaderChange.model_fields.keys()
    assert line["profile"].keys() == ReaderProfile.model_fields.keys()


@pytest.mark.parametrize("reader", [READER, READER.model_copy(update={"status_reason": None, "timezone": None})])
def test_an_exported_reader_is_imported_with_the_same_values(reader: Reader) -> None:
    imported = ImportedReader.model_validate_json(exported(reader)).columns
    stored = reader.model_dump(mode="json")
    assert {name: stored[name] for name in imported if name != "send_at"} == {
        name: value for name, value in imported.items() if name != "send_at"
    }
    assert imported["send_at"] == "07:05"
