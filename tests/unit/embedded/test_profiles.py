"""An invalid profile is refused with a message that names the file and every invalid entry."""

from pathlib import Path

import pytest

from embedded.commands.profiles import BadProfile, profile_of, read_profile


def refusal(content: bytes, tmp_path: Path) -> str:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(BadProfile) as caught:
        read_profile(file)
    message = str(caught.value)
    assert message.startswith(f"the profile {file} is not ")
    return message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'interests = ["a"]', "name is missing"),
        (b'name = "Ada"\nfavourite = 1', "favourite is not a field of a profile (the fields are name, title, goals,"),
        (b'name = "Ada"\ninterests = "graphs"', """interests is 'graphs': it must be a list, such as ["graphs","""),
        (b'name = "Ada"\ninterests = ["a", 5]', "interests, entry 2, is 5: it must be a text in quotes"),
        (b"name = 5", "name is 5: it must be a text in quotes"),
        (b'name = " "', "name is ' ': it contains only blanks"),
        (b'name = ""', "name is empty"),
        (b'name = "' + b"a" * 201 + b'"', "name is longer than 100 characters"),
        (b'name = "Ada"\ncategories = ["%"]', "categories is ['%']: '%' is not an arXiv category"),
        (b'name = "Ada"\ninterests = [' + b'"a",' * 500 + b"]", "interests has 500 entries: at most "),
        (b'name = "Andr\xe9"', "not UTF-8: line 1 has the byte 0xe9. Save the file as UTF-8."),
        (b'title = "x"\nname = "\xff"', "not UTF-8: line 2 has the byte 0xff"),
        ('name = "Ada"'.encode("utf-16"), "not UTF-8: line 1 has the byte 0xff"),
        (b"name = Ada", "not TOML: Invalid value (at line 1, column 8). profiles/example.toml shows the form."),
        (b"interests = " + b"[" * 5000, "nested too deeply"),
    ],
)
def test_an_error_is_described_in_plain_language(content: bytes, message: str, tmp_path: Path) -> None:
    assert message in refusal(content, tmp_path)


def test_every_invalid_entry_is_named(tmp_path: Path) -> None:
    message = refusal(b'title = 5\ninterests = "x"', tmp_path)
    assert all(name in message for name in ("name is missing", "title is 5", "interests is 'x'"))


def test_an_unreadable_file_or_folder_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(BadProfile, match=f"the profile {path} cannot be read: "):
            read_profile(path)


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "Ada"', encoding="utf-8-sig")
    assert read_profile(file).name == "Ada"


def test_interests_and_categories_need_no_file() -> None:
    profile = profile_of(" graphs , radar,, ", "cs.RO, stat.ML")
    assert (profile.name, profile.interests, profile.categories) == ("you", ("graphs", "radar"), ("cs.RO", "stat.ML"))


def test_invalid_interests_and_categories_are_named() -> None:
    with pytest.raises(BadProfile, match=r"INTERESTS and CATEGORIES are not valid: .*'%' is not an arXiv category"):
        profile_of("graphs", "cs.RO,%")
