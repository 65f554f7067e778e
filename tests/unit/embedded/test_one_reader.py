"""The readers file of one person: whatever the interests contain, it is read back unchanged."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.readers_file import read_readers_file
from embedded.commands import one_reader
from embedded.commands.one_reader import local_timezone, one_reader_file
from embedded.commands.profiles import profile_of


@given(st.text(st.characters(exclude_characters=",", exclude_categories=("Cs", "Cc")), min_size=1, max_size=100))
def test_every_interest_is_read_back_unchanged(tmp_path_factory: pytest.TempPathFactory, interest: str) -> None:
    profile = profile_of(interest, "cs.RO")
    file = one_reader_file(tmp_path_factory.mktemp("one"), profile, "ada@example.org")
    values = read_readers_file(file, {})[0].entry.values
    assert values["profile"]["interests"] == list(profile.interests)
    assert (values["email"], values["profile"]["categories"]) == ("ada@example.org", ["cs.RO"])
    assert values["send_at"] == "23:59"


@pytest.mark.parametrize(
    ("variable", "target", "expected"),
    [
        ("Europe/Berlin", "/usr/share/zoneinfo/Asia/Tokyo", "Europe/Berlin"),
        ("", "/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("CET-1CEST", "/etc/localtime", "UTC"),
        ("Mars/Olympus", "/usr/share/zoneinfo/UTC", "UTC"),
    ],
)
def test_the_time_zone_is_this_machines_or_utc(
    variable: str, target: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", variable)
    monkeypatch.setattr(one_reader, "LOCALTIME", Path(target))
    monkeypatch.setattr(Path, "resolve", lambda path: path)
    assert local_timezone() == expected
