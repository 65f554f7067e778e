"""Rules for the OpenAPI document; docs/openapi.json must equal it."""

import json
from typing import Any

import pytest

from app.config import ApiSettings
from app.main import create_app
from scripts.openapi import DOCUMENT, written
from tests.support.applications import described_document

SETTINGS = {"supabase_url": "http://127.0.0.1:9", "supabase_key": "sb_secret_x", "api_keys": "k" * 16}
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def operations() -> list[Any]:
    return [operation for item in described_document()["paths"].values() for operation in item.values()]


def test_every_error_response_is_a_problem_document() -> None:
    answers = [item for each in operations() for item in each["responses"].items()]
    assert all(answer["content"] == PROBLEM for status, answer in answers if status >= "4")


def test_every_request_body_is_required() -> None:
    assert all(each["requestBody"]["required"] for each in operations() if "requestBody" in each)


def test_every_route_has_a_unique_name_and_a_described_tag() -> None:
    names = [each["operationId"] for each in operations()]
    assert len(set(names)) == len(names)
    explained = {tag["name"] for tag in described_document()["tags"]}
    assert {tag for each in operations() for tag in each["tags"]} == explained


def test_no_parameter_is_null_or_a_list() -> None:
    schemas = [each["schema"] for operation in operations() for each in operation.get("parameters", [])]
    assert not [schema for schema in schemas if "anyOf" in schema or schema.get("type") in {"array", "null"}]


def test_every_route_declares_its_success_response() -> None:
    for operation in operations():
        bodies = [answer.get("content") for status, answer in operation["responses"].items() if status < "3"]
        schemas = [kind["schema"] for body in bodies if body for kind in body.values()]
        assert all(schemas), operation["operationId"]
        assert schemas or "204" in operation["responses"], operation["operationId"]


def test_schema_names_are_plain_identifiers() -> None:
    names = described_document()["components"]["schemas"]
    assert not [name for name in names if not name.isalnum()]


def test_the_document_names_the_servers_url() -> None:
    assert [each["url"] for each in described_document()["servers"]] == ["http://127.0.0.1:8000"]


@pytest.mark.parametrize(("public_url", "url"), [("https://digest.example", "https://digest.example"), (None, "/")])
def test_a_running_server_names_its_own_url(public_url: str | None, url: str) -> None:
    app = create_app()
    app.state.settings = ApiSettings.model_validate(SETTINGS | {"public_url": public_url})
    assert [each["url"] for each in app.openapi()["servers"]] == [url]


@pytest.mark.pins
def test_the_document_in_docs_is_current() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert json.loads(text) == described_document(), "after a change that is meant: make openapi"
    assert text == written(described_document())
