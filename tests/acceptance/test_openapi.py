"""schemathesis over the OpenAPI document of a running API: no server error, and every response matches the document."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
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

from app.main import create_app
from embedded.stack import Ready
from tests.support.processes import API_KEY, api_environment

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ROOT = Path(__file__).parents[2]
OPEN = {"/healthz", "/readyz"}
DOCUMENT: dict[str, Any] = create_app().openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


@schemathesis.serializer("application/x-ndjson", "application/x-bibtex", "application/x-research-info-systems")
def json_lines(_context: Any, value: Any) -> bytes:
    """Convert the generated body of an import to bytes."""
    return str(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def address(stack: Ready) -> Iterator[str]:
    """A running API; these tests are synchronous, so its log goes to a file and not into a pipe that fills up."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=api_environment(stack), stderr=log)
        yield _address_in(log, process)
        process.terminate()
        assert process.wait() == 0


def _address_in(log: TextIO, process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
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


def operations() -> list[tuple[str, str]]:
    found = [(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item]
    return [(method, path) for method, path in found if path not in OPEN]


@pytest.mark.parametrize("key", [None, "", "wrong-key-0123456789", API_KEY + "x", API_KEY[:-1]])
@pytest.mark.parametrize(("method", "path"), operations())
def test_requests_without_a_key_get_401(method: str, path: str, key: str | None, address: str) -> None:
    target = path.replace("{task_id}", "00000000-0000-4000-8000-000000000000").replace("{source_date}", "2026-01-01")
    headers = {} if key is None else {"X-API-Key": key}
    with httpx.Client(base_url=address, trust_env=False) as http:
        answer = http.request(method, target, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"]
    assert answer.json()["title"] == "Unauthorized"


def test_every_operation_except_health_requires_the_key() -> None:
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            assert ("security" in operation) is (path not in OPEN), path
            assert operation["tags"], path
