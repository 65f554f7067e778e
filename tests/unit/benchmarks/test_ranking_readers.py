"""Windows of labelled readers, joined so that the candidates are as many as on a real day."""

import pytest

from benchmarks.ranking_readers import Document, Labelled, Reader, pooled


def window(name: str) -> Labelled:
    reader = Reader(reader=name, interests=["ice"], goals="", liked=[], grades={f"{name}-1": 1})
    return Labelled(documents=[Document(id=f"{name}-{place}", title="Ice") for place in (1, 2)], readers=[reader])


def test_joined_windows_keep_their_readers_and_grades() -> None:
    found = pooled([window("a"), window("b"), window("c")], 2)
    assert [[document.id for document in each.documents] for each in found] == [
        ["a-1", "a-2", "b-1", "b-2"],
        ["b-1", "b-2", "c-1", "c-2"],
        ["c-1", "c-2", "a-1", "a-2"],
    ]
    assert [[reader.reader for reader in each.readers] for each in found] == [["a"], ["b"], ["c"]]
    assert [int(each.wanted(each.readers[0]).sum()) for each in found] == [1, 1, 1]


def test_no_document_of_joined_windows_comes_twice() -> None:
    (found,) = pooled([window("a")], 3)
    assert [document.id for document in found.documents] == ["a-1", "a-2"]


def test_a_number_of_windows_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="WINDOWS is 0: set it to 1 or more"):
        pooled([window("a")], 0)
