"""Patterns of the paths of collections, and keys of libraries."""

from collections.abc import Sequence
from time import process_time

import pytest
from pydantic import SecretStr

from app.models.libraries import Collection, checked_key, collection_paths, path_matches

TREE = (
    Collection(key="A", name="Thesis"),
    Collection(key="B", name="Ice", parent="A"),
    Collection(key="C", name="Deep", parent="B"),
    Collection(key="D", name="Snow", parent="A"),
    Collection(key="E", name="Ice"),
    Collection(key="F", name="[old] *", parent="E"),
    Collection(key="G", name="a/b"),
)


def matching_collections(collections: Sequence[Collection], patterns: Sequence[str]) -> list[str]:
    return sorted(key for key, path in collection_paths(collections).items() if path_matches(path, patterns))


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("Thesis", "A"),
        ("thesis", ""),
        ("Thesis/*", "BD"),
        ("Thesis/**", "ABCD"),
        ("**", "ABCDEFG"),
        ("**/Ice", "BE"),
        ("*/Ice", "B"),
        ("Thesis/**/Deep", "C"),
        ("Thesis/**/**/Snow", "D"),
        ("Th*s/I?e", "B"),
        ("Ice/[old] *", "F"),
        ("a/b", "G"),
        ("", ""),
        ("Thesis/", ""),
        ("/Thesis", ""),
    ],
)
def test_a_pattern_selects_paths(pattern: str, keys: str) -> None:
    assert matching_collections(TREE, [pattern]) == list(keys)


def test_several_patterns_are_a_union() -> None:
    assert matching_collections(TREE, ["Ice", "Thesis/Snow", "Nothing"]) == ["D", "E"]


def test_a_circle_of_collections_has_no_path() -> None:
    circle = [Collection(key="A", name="A", parent="B"), Collection(key="B", name="B", parent="A")]
    assert matching_collections([*circle, Collection(key="C", name="C", parent="lost")], ["**"]) == []


@pytest.mark.parametrize("pattern", ["*a" * 200, "**/" * 150 + "b", "[" * 400, "*/" * 200])
def test_a_hostile_pattern_takes_no_time(pattern: str) -> None:
    long = [Collection(key="A", name="a" * 500), Collection(key="B", name="a/" * 250, parent="A")]
    began = process_time()
    matching_collections(long, [pattern] * 20)
    assert process_time() - began < 20, "an exponential search takes years"


def test_a_wrong_key_is_not_in_its_error() -> None:
    with pytest.raises(ValueError, match="not a key of Zotero") as refused:
        checked_key(SecretStr("wrong key\r\nX: 1"))
    assert "wrong key" not in str(refused.value)
