"""A readers file: its fields, and errors that name the line, all at once, before anything is written."""

from pathlib import Path
from typing import Any

import pytest

from app.api.readers_file import DEFAULTS, InvalidReadersFile, PlacedEntry, read_readers_file

ROOT = Path(__file__).parents[3]
ADA = """
[[reader]]
key = "ada"
name = "Ada"
"""


def read(text: str | bytes, folder: Path, **environment: str) -> list[PlacedEntry]:
    file = folder / "readers.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_readers_file(file, environment)


def refusal(text: str | bytes, folder: Path, **environment: str) -> list[str]:
    """The lines of the error after its headline."""
    with pytest.raises(InvalidReadersFile) as caught:
        read(text, folder, **environment)
    headline, *problems = str(caught.value).splitlines()
    assert headline.startswith(f"The readers file {folder / 'readers.toml'} is not valid, so nothing of it was applied")
    return [problem.strip() for problem in problems]


def test_omitted_fields_have_defaults(tmp_path: Path) -> None:
    (placed,) = read(ADA, tmp_path)
    assert (placed.entry.key, placed.line) == ("ada", 2)
    assert placed.entry.values == {**DEFAULTS, "name": "Ada"}


def test_every_field_reaches_its_column(tmp_path: Path) -> None:
    text = (
        ADA
        + """
email = "Ada@EXAMPLE.org"
timezone = "Europe/Berlin"
time = 06:30:00
weekdays = [1, 2]
when_empty = "notify"
interests = [
    "graphs",
]
exclude = ["blockchain"]
max_papers = 3
"""
    )
    values = read(text, tmp_path)[0].entry.values
    assert values["email"] == "Ada@example.org"
    assert (values["timezone"], values["send_at"], values["weekdays"]) == ("Europe/Berlin", "06:30", [1, 2])
    assert values["when_empty"] == "notify"
    assert values["profile"]["interests"] == ["graphs"]
    assert values["profile"]["exclude"] == ["blockchain"]
    assert (values["profile"]["max_papers"], values["profile"]["max_news"]) == (3, 6)


def test_the_example_is_valid_and_has_three_people() -> None:
    placed = read_readers_file(ROOT / "readers.example.toml", {})
    assert [each.entry.key for each in placed] == ["ada", "carl", "emmy"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('email = "ada"', "line 5: email is 'ada': use an e-mail address such as ada@example.org"),
        ('\ntime = "7:00"', "line 6: time is '7:00': use a time of day such as \"07:00\""),
        ("time = 07:00:30", "line 5: time is "),
        ('status = "active"', "line 5: status is not a field of a reader (the fields are key, time, name, email,"),
        ("interests = 5", "line 5: interests is 5: "),
        ('interests = ["a",\n""]', "line 5: interests, entry 2, is ['a', '']: "),
        (
            'categories = ["no category"]',
            "line 5: categories is ['no category']: 'no category' is not an arXiv category: ",
        ),
        ('title = """\n[[reader]]\n"""\nemail = 5', "line 8: email is 5: "),
        ("weekdays = [9]", "line 5: weekdays, entry 1, is [9]: "),
        ("max_papers = 51", "line 5: max_papers is 51: "),
        ('email = "env:NOBODY"', "line 5: email is env:NOBODY, but the variable NOBODY is not set"),
        ('[[reader]]\nname = "B"', "line 5: key is missing"),
        ('[[reader]]\nkey = "a b"\nname = "B"', "line 6: key is 'a b': use 1 to 200 letters, digits and signs"),
        ('[[reader]]\nkey = "ada"\nname = "B"', "line 6: the key 'ada' belongs to line 3 already"),
        ("email =", "line 5: Invalid value"),
    ],
)
def test_an_error_names_the_line_and_what_to_do(lines: str, problem: str, tmp_path: Path) -> None:
    problems = refusal(f"{ADA}{lines}\n", tmp_path)
    assert any(each.startswith(problem) for each in problems), problems


def test_all_errors_are_named_at_once(tmp_path: Path) -> None:
    text = ADA + 'email = "x"\n' + "".join(f'[[reader]]\nkey = "{n}"\n' for n in range(30))
    problems = refusal(text, tmp_path)
    assert problems[:2] == [
        "line 5: email is 'x': use an e-mail address such as ada@example.org",
        "line 6: name is missing",
    ]
    assert problems[-1] == "and 11 more"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it has no reader: "),
        (b"reader = 5", "it has no reader: "),
        (b'[[readers]]\nkey = "a"', "readers is outside of a [[reader]]"),
        (b'[[reader]]\nname = "\xff"', "line 2: it is not UTF-8"),
        (b"x = " + b"[" * 5_000, "its lists are nested too deeply"),
    ],
)
def test_a_file_without_readers_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    assert refusal(content, tmp_path)[0].startswith(problem)


def test_a_file_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    with pytest.raises(InvalidReadersFile, match="has more than 5000000 bytes"):
        read(b"#" * 5_000_001, tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidReadersFile, match=r"none\.toml cannot be read: No such file"):
        read_readers_file(tmp_path / "none.toml", {})


@pytest.mark.parametrize("value", ["ada@example.org", "not an address: hunter2"])
def test_a_value_can_come_from_the_environment(value: str, tmp_path: Path) -> None:
    text = f'{ADA}email = "env:ADA_EMAIL"\ninterests = ["env:TOPIC", "graphs"]\n'
    variables: dict[str, Any] = {"ADA_EMAIL": value, "TOPIC": "radar"}
    if value.startswith("ada"):
        values = read(text, tmp_path, **variables)[0].entry.values
        assert (values["email"], values["profile"]["interests"]) == (value, ["radar", "graphs"])
    else:
        (problem,) = refusal(text, tmp_path, **variables)
        assert problem == "line 5: email is 'env:ADA_EMAIL': use an e-mail address such as ada@example.org"


LIBRARY = 'library = { id = "users/475425", key = "env:ADAS_KEY", collections = ["Thesis/**"] }'
TABLE = '[reader.library]\nid = "users/475425"\nkey = "env:ADAS_KEY"\ncollections = ["Thesis/**"]\n'
ZOTERO_KEY = "P9NiFoyLeZu2bZNvvuQPDWsd"


@pytest.mark.parametrize("text", [LIBRARY, TABLE])
def test_a_library_has_its_key_from_the_environment(text: str, tmp_path: Path) -> None:
    (placed,) = read(ADA + text, tmp_path, ADAS_KEY=ZOTERO_KEY)
    library = placed.entry.library
    assert library is not None
    assert (library.id, library.key.get_secret_value(), library.collections) == (
        "users/475425",
        ZOTERO_KEY,
        ("Thesis/**",),
    )
    assert placed.lines["library"] == 5
    assert ZOTERO_KEY not in repr(placed) + str(library.stored)


@pytest.mark.parametrize(
    ("library", "problem"),
    [
        ('"users/1"', "library has another form: write library = {"),
        ('{ id = "users/1" }', "library has another form"),
        ('{ id = "users/1", key = "env:ADAS_KEY", name = "x" }', "library has another form"),
        (f'{{ id = "users/1", key = "{ZOTERO_KEY}" }}', "the key of the library is a secret: write env:NAME"),
        ('{ id = "users/1", key = "env:NOBODY" }', "library is env:NOBODY, but the variable NOBODY is not set"),
        ('{ id = "user/1", key = "env:ADAS_KEY" }', "library, id: String should match pattern"),
        ('{ id = "users/1", key = "env:WRONG" }', "library, key: this is not a key of Zotero"),
        ('{ id = "users/1", key = "env:ADAS_KEY", collections = "a" }', "library, collections: Input should be a"),
    ],
)
def test_an_invalid_library_is_reported_without_its_key(library: str, problem: str, tmp_path: Path) -> None:
    text = f"{ADA}library = {library}\n"
    (found,) = refusal(text, tmp_path, ADAS_KEY=ZOTERO_KEY, WRONG="wrong key")
    assert found.startswith(f"line 5: {problem}")
    assert (ZOTERO_KEY in found, "wrong key" in found) == (False, False)


def test_a_reader_that_must_confirm_has_an_address(tmp_path: Path) -> None:
    (placed,) = read(f'{ADA}email = "ada@example.org"\nconfirm = true\n', tmp_path)
    assert placed.entry.values["confirm"] is True
    assert refusal(f"{ADA}confirm = true\n", tmp_path) == [
        "line 5: confirm needs an email, to which the confirmation mail is sent"
    ]


def test_a_reader_that_must_confirm_needs_links(tmp_path: Path) -> None:
    file = tmp_path / "readers.toml"
    file.write_text(f'{ADA}email = "ada@example.org"\nconfirm = true\n', encoding="utf-8")
    with pytest.raises(InvalidReadersFile, match="line 6: confirm needs a link to a page: set PUBLIC_URL"):
        read_readers_file(file, {}, can_confirm=False)
