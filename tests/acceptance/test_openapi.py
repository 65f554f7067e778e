"""schemathesis over the OpenAPI document of a running API: no server error, and every response matches the document."""

import json
import re
import tempfile
import time
from collections.abc import Iterator
from typing import Any, TextIO

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from embedded.stack import Ready
from scripts.openapi import DOCUMENT
from tests.support.applications import described_document, described_paths
from tests.support.forks import LoggedFork
from tests.support.processes import API_KEY, api_environment

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPEN = {"/healthz", "/readyz"}
SCHEMA = schemathesis.pytest.from_fixture("schema")
"""Each process of a parallel run imports this file; only the one that runs a test builds its examples."""


OPERATIONS = [
    (method.upper(), path) for path, item in json.loads(DOCUMENT.read_text())["paths"].items() for method in item
]


@pytest.fixture(params=OPERATIONS, ids=" ".join)
def schema(request: pytest.FixtureRequest) -> schemathesis.BaseSchema:
    """One operation of the document."""
    # schemathesis 4.32 reads an attribute that pytest 9.2 has no more.
    vars(request.node)["_nodeid"] = request.node.nodeid
    method, path = request.param
    whole = described_document()
    operation = whole["paths"][path][method.lower()]
    return schemathesis.openapi.from_dict(whole | {"paths": {path: {method.lower(): operation}}})


@schemathesis.serializer("application/x-ndjson", "application/x-bibtex", "application/x-research-info-systems")
def json_lines(_context: Any, value: Any) -> bytes:
    """Convert the generated body of an import to bytes."""
    return str(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def address(stack: Ready) -> Iterator[str]:
    """A running API."""
    with tempfile.TemporaryFile("a+") as log:
        process = LoggedFork("app", environment=api_environment(stack), log=log.fileno())
        yield _address_in(log, process)
        assert process.stop() == 0


def _address_in(log: TextIO, process: LoggedFork) -> str:
    while not process.has_ended():
        log.seek(0)
        if found := re.search(r"running on (http://[\d.:]+)", log.read()):
            return found[1]
        time.sleep(0.05)
    log.seek(0)
    raise AssertionError(log.read())


@SCHEMA.parametrize()
@hypothesis.settings(max_examples=15, derandomize=True, deadline=None, database=None)
def test_responses_match_the_documentation(case: schemathesis.Case[Any], address: str) -> None:
    case.call_and_validate(base_url=address, headers={"X-API-Key": API_KEY}, checks=CHECKS)


@pytest.mark.parametrize("key", [None, "", "wrong-key-0123456789", API_KEY + "x", API_KEY[:-1]])
def test_requests_without_a_key_get_401(key: str | None, address: str) -> None:
    headers = {} if key is None else {"X-API-Key": key}
    with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=30) as http:
        protected = [(method, path) for method, path in OPERATIONS if path not in OPEN]
        answers = {(method, path): http.request(method, target_of(path)) for method, path in protected}
    assert len(answers) > 50
    for operation, answer in answers.items():
        assert answer.status_code == 401, operation
        assert answer.headers["content-type"] == "application/problem+json", operation
        assert answer.headers["www-authenticate"], operation
        assert answer.json()["title"] == "Unauthorized", operation


def target_of(path: str) -> str:
    return path.replace("{task_id}", "00000000-0000-4000-8000-000000000000").replace("{source_date}", "2026-01-01")


def test_every_operation_except_health_requires_the_key() -> None:
    for path, item in described_paths().items():
        for operation in item.values():
            assert ("security" in operation) is (path not in OPEN), path
            assert operation["tags"], path
