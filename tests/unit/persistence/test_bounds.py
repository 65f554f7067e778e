"""The bounds of every field: the limit is accepted, and one more or one less is refused."""

import math
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from app.errors import PermanentError
from app.models.profiles import Profile
from app.persistence.json_values import clean, clean_result
from app.persistence.readers import ReaderProfile
from worker.handlers.digest import DigestPayload

READER, DIGEST = ReaderProfile, DigestPayload
NAMED = {"name": "Ada"}
ORDER = {"profile": NAMED}


@pytest.mark.parametrize(
    ("model", "given", "field", "least", "most"),
    [(READER, {}, "max_papers", 0, 50), (READER, {}, "max_news", 0, 50),
     (DIGEST, ORDER, "max_papers", 0, 50), (DIGEST, ORDER, "max_news", 0, 50)],
)  # fmt: skip
def test_a_number_is_within_its_bounds(
    model: type[BaseModel], given: dict[str, Any], field: str, least: int, most: int
) -> None:
    for value in (least, most):
        assert getattr(model.model_validate(given | {field: value}), field) == value
    for value in (least - 1, most + 1):
        with pytest.raises(ValidationError, match=field):
            model.model_validate(given | {field: value})


@pytest.mark.parametrize("model", [READER, Profile])
@pytest.mark.parametrize(
    ("field", "most", "each"),
    [("interests", 30, "words"), ("exclude", 30, "words"), ("authors", 50, "A. Name"), ("categories", 20, "cs.AI")],
)
def test_a_list_has_its_length(model: type[BaseModel], field: str, most: int, each: str) -> None:
    given = {} if model is READER else NAMED
    assert len(getattr(model.model_validate(given | {field: [each] * most}), field)) == most
    with pytest.raises(ValidationError, match=field):
        model.model_validate(given | {field: [each] * (most + 1)})


@pytest.mark.parametrize(("field", "most"), [("title", 200), ("goals", 2000), ("interests", 100), ("authors", 100)])
def test_the_length_of_a_text_excludes_outer_blanks(field: str, most: int) -> None:
    def made(text: str) -> object:
        value = text if field in {"title", "goals"} else [text]
        kept = getattr(READER.model_validate({field: value}), field)
        return kept if isinstance(kept, str) else kept[0]

    assert made(" " + "x" * most + " ") == "x" * most
    with pytest.raises(ValidationError, match=field):
        made("x" * (most + 1))


def test_defaults_of_a_new_reader() -> None:
    assert READER().model_dump() == {
        "title": "", "goals": "", "interests": (), "exclude": (), "authors": (), "categories": (),
        "language": "en", "max_papers": 12, "max_news": 6,
    }  # fmt: skip
    order = DIGEST.model_validate(ORDER)
    assert (order.max_papers, order.max_news, order.scheduled) == (12, 6, None)


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("largest", "too_large", "expected"),
    [
        (nested(100), nested(101), "a value has more than 100 levels or 50000 parts, which is the limit"),
        ([1] * 49_999, [1] * 50_000, "a value has more than 100 levels or 50000 parts, which is the limit"),
        (2**256 - 1, 2**256, "a value cannot be written as JSON: it contains a int"),
    ],
    ids=["levels", "parts", "bits"],
)
def test_a_json_value_has_a_largest_size(largest: object, too_large: object, expected: str) -> None:
    assert clean(largest) == largest
    with pytest.raises(PermanentError) as refused:
        clean(too_large)
    assert str(refused.value) == expected


@pytest.mark.parametrize("letter", ["x", "\u00e4"])
def test_the_size_of_a_result_includes_its_keys(letter: str) -> None:
    most = (2_000_000 - 1) // len(letter.encode())
    spare = 2_000_000 - 1 - most * len(letter.encode())
    largest = {"k" + "x" * spare: letter * most}
    assert clean_result(largest) == largest
    with pytest.raises(PermanentError) as refused:
        clean_result(largest | {"k" + "x" * spare: letter * most + "x"})
    assert str(refused.value) == "the result exceeds the limit of 2000000 bytes"


def test_a_result_is_an_object() -> None:
    with pytest.raises(PermanentError) as refused:
        clean_result([1])
    assert str(refused.value) == "the result must be a JSON object, not of type list"


def test_objects_count_as_nesting_levels() -> None:
    value: object = 1
    for _ in range(100):
        value = {"a": value}
    assert clean(value) == value
    with pytest.raises(PermanentError, match="more than 100 levels"):
        clean({"a": value})
    with pytest.raises(PermanentError, match="more than 100 levels"):
        clean([value])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({1: "a", "b\0": "c\ud800"}, {"1": "a", "b": "c\ufffd"}),
        ((1, "a\0", None, True), [1, "a", None, True]),
        ([math.nan, math.inf, -math.inf, 0.5], [None, None, None, 0.5]),
        ("\u00e4\0\U0001f600\ud83d", "\u00e4\U0001f600\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
    ],
)
def test_characters_that_postgresql_refuses_are_removed(given: object, kept: object) -> None:
    assert clean(given) == kept
