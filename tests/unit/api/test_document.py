"""The OpenAPI document: what holds of every route, and that each word of it is the one in docs/openapi.json."""

import json
from typing import Any

import pytest

from scripts.openapi import DOCUMENT, written
from tests.applications import described_document

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def operations() -> list[Any]:
    return [operation for item in described_document()["paths"].values() for operation in item.values()]


def test_each_error_is_a_problem_document_alone() -> None:
    answers = [item for each in operations() for item in each["responses"].items()]
    assert all(answer["content"] == PROBLEM for status, answer in answers if status >= "4")


def test_whatever_a_route_takes_it_needs() -> None:
    assert all(each["requestBody"]["required"] for each in operations() if "requestBody" in each)


def test_each_route_has_a_name_of_its_own_and_a_tag_that_is_explained() -> None:
    names = [each["operationId"] for each in operations()]
    assert len(set(names)) == len(names)
    explained = {tag["name"] for tag in described_document()["tags"]}
    assert {tag for each in operations() for tag in each["tags"]} == explained


@pytest.mark.pins
def test_the_document_in_docs_is_what_the_api_says_of_itself() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert json.loads(text) == described_document(), "after a change that is meant: make openapi"
    assert text == written(described_document())
