"""Names in exports: which are not persons', and so must reach BibTeX as they are."""

import pytest

from app.digest.citations import is_group


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
