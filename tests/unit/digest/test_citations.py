"""Names in exports: which are not persons', and so must reach BibTeX as they are."""

import pytest

from app.digest.citations import is_group, parts_of


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("others", True),
        ("Others", True),
        ("Rain and Sons", True),
        ("A; B", True),
        ("Emmy Noether", False),
        ("Andrea Mothers", False),
        ("Jane Others", False),
    ],
)
def test_a_name_that_is_no_persons_is_recognized(name: str, group: bool) -> None:
    assert is_group(name) is group


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Emmy Noether", ("Noether", "Emmy", "")),
        ("Mary Ann Evans", ("Evans", "Mary Ann", "")),
        ("Jan van Berg", ("van Berg", "Jan", "")),
        ("Jan P. van der Berg", ("van der Berg", "Jan P.", "")),
        ("bell hooks", ("hooks", "bell", "")),
        ("Paul W. Roe, Jr.", ("Roe", "Paul W.", "Jr.")),
        ("Noether", None),
        ("Noether, Emmy", None),
        ("", None),
    ],
)
def test_a_name_has_family_and_given_names(name: str, parts: tuple[str, str, str] | None) -> None:
    assert parts_of(name) == parts
