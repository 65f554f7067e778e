"""What the OpenAPI document says of each route: where it belongs, what may come of it, what is sent and answered."""

import json
from typing import Any

import pytest

from app.api.openapi import DESCRIPTION, TAGS
from scripts.openapi import DOCUMENT, written
from tests.applications import described_document, described_paths

ROUTES = """
GET /healthz | health | 200 |  | json
GET /readyz | health | 200 503 |  | json
POST /v1/digests | digests | 202 400 401 413 422 429 503 | json | json
POST /v1/digests/batch | digests | 202 400 401 413 422 429 503 | json | json
GET /v1/digests/{task_id} | digests | 200 401 404 422 503 |  | json
GET /v1/digests/{task_id}/events | digests | 200 204 401 404 422 503 |  | text/event-stream
GET /v1/digests/{task_id}/html | digests | 200 401 404 409 422 503 |  | text/html
POST /v1/digests/{task_id}/cancel | digests | 202 401 404 422 503 |  | json
POST /v1/fetches | fetches | 202 400 401 413 422 503 | json | json
GET /v1/fetches/{task_id} | fetches | 200 401 404 422 503 |  | json
GET /v1/fetches/{task_id}/events | fetches | 200 204 401 404 422 503 |  | text/event-stream
POST /v1/fetches/{task_id}/cancel | fetches | 202 401 404 422 503 |  | json
GET /v1/callbacks/{task_id} | callbacks | 200 401 404 422 503 |  | json
GET /v1/tasks | tasks | 200 400 401 403 422 503 |  | json
GET /v1/editions | editions | 200 401 422 503 |  | json
GET /v1/editions/{source_date} | editions | 200 401 404 422 503 |  | json
POST /v1/readers | readers | 201 400 401 409 413 422 503 | json | json
GET /v1/readers | readers | 200 401 422 503 |  | json
POST /v1/readers/import | readers | 200 400 401 413 422 503 | application/x-ndjson | json
GET /v1/readers/export | readers | 200 401 422 503 |  | application/x-ndjson
GET /v1/readers/{reader_id} | readers | 200 401 404 422 503 |  | json
PATCH /v1/readers/{reader_id} | readers | 200 400 401 404 409 413 422 503 | json | json
DELETE /v1/readers/{reader_id} | readers | 204 401 404 422 503 |  |
POST /v1/readers/{reader_id}/revoke-links | readers | 204 401 404 422 503 |  |
POST /v1/readers/{reader_id}/papers | readers | 200 400 401 404 409 413 422 503 | json, application/x-bibtex | json
GET /v1/readers/{reader_id}/papers | readers | 200 400 401 404 422 503 |  | json
DELETE /v1/readers/{reader_id}/papers/{paper_id} | readers | 204 401 404 422 503 |  |
GET /v1/readers/{reader_id}/saved.bib | readers | 200 401 404 422 503 |  | application/x-bibtex; charset=utf-8
GET /v1/deliveries | deliveries | 200 400 401 422 503 |  | json
GET /v1/deliveries/gate | deliveries | 200 401 422 503 |  | json
POST /v1/deliveries/pause | deliveries | 200 400 401 403 413 422 503 | json | json
POST /v1/deliveries/resume | deliveries | 200 400 401 403 413 422 503 | json | json
GET /v1/deliveries/{delivery_id} | deliveries | 200 401 404 422 503 |  | json
POST /v1/deliveries/{delivery_id}/settle | deliveries | 200 400 401 403 404 409 413 422 503 | json | json
GET /v1/admin/overview | admin | 200 401 403 422 503 |  | json
POST /v1/admin/tasks/{task_id}/replay | admin | 202 401 403 404 409 422 503 |  | json
POST /v1/admin/replays | admin | 200 400 401 403 413 422 503 | json | json
POST /v1/admin/callbacks/{task_id}/redeliver | admin | 202 401 403 404 409 422 503 |  | json
POST /v1/admin/kinds/{kind}/pause | admin | 200 400 401 403 409 413 422 503 | json | json
POST /v1/admin/kinds/{kind}/resume | admin | 200 401 403 409 422 503 |  | json
GET /v1/admin/pauses | admin | 200 401 403 422 503 |  | json
GET /v1/admin/workers | admin | 200 401 403 422 503 |  | json
GET /v1/admin/orphans | admin | 200 401 403 422 503 |  | json
GET /v1/admin/audit | admin | 200 401 403 422 503 |  | json
GET /metrics | health | 200 401 |  | text/plain
"""
"""Each route with its tag, the statuses of its answers, and the media types of requests and answers."""

WORDS = {
    "400": {"The body is not JSON", "A cursor that no page gave"},
    "401": {"No key, or an unknown one"},
    "403": {"For admins only", "Admins alone"},
    "404": {"There is no such thing"},
    "409": {"Not in this state"},
    "413": {"The body is too large"},
    "422": {"The request is not valid"},
    "429": {"As many as may be ordered in a day"},
    "503": {"Supabase cannot be reached", "Supabase unreachable or outdated"},
}
LINES = {"type": "string"}


def operations() -> list[tuple[str, str, Any]]:
    return [(method.upper(), path, each) for path, item in described_paths().items() for method, each in item.items()]


def line_of(method: str, path: str, operation: Any) -> str:
    statuses = sorted(operation["responses"])
    sent = sorted(operation.get("requestBody", {}).get("content", {}))
    good = [operation["responses"][status].get("content", {}) for status in statuses if status < "4"]
    answered = [kind for content in good for kind in content]
    parts = [f"{method} {path}", *map(" ".join, (operation["tags"], statuses)), *map(", ".join, (sent, answered))]
    return " | ".join(parts).replace("application/json", "json").rstrip()


def test_each_route_is_described_with_all_that_may_come_of_it() -> None:
    assert [line_of(*each) for each in operations()] == ROUTES.strip().splitlines()


def test_each_status_is_explained_and_each_error_is_a_problem_document_alone() -> None:
    words: dict[str, set[str]] = {}
    for _method, path, operation in operations():
        for status, answer in operation["responses"].items():
            if status >= "4":
                words.setdefault(status, set()).add(answer["description"])
                problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
                assert answer["content"] == problem, path
    assert words == WORDS


def test_whatever_a_route_takes_it_needs() -> None:
    bodies = [operation["requestBody"] for _, _, operation in operations() if "requestBody" in operation]
    assert all(body["required"] for body in bodies)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("post", "/v1/readers/import", "application/x-ndjson"),
        ("post", "/v1/readers/{reader_id}/papers", "application/x-bibtex"),
    ],
)
def test_what_is_sent_as_text_is_described_as_text(method: str, path: str, kind: str) -> None:
    assert described_paths()[path][method]["requestBody"]["content"][kind] == {"schema": LINES}


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/v1/readers/export", "application/x-ndjson", "A reader a line"),
        (
            "/v1/readers/{reader_id}/saved.bib",
            "application/x-bibtex; charset=utf-8",
            "An entry a paper, first saved first",
        ),
        ("/v1/digests/{task_id}/html", "text/html", "The page"),
        ("/metrics", "text/plain", "Prometheus text"),
        (
            "/v1/digests/{task_id}/events",
            "text/event-stream",
            "`progress` for each new state, `end` for the last one, each with the task as its data",
        ),
    ],
)
def test_what_is_answered_as_text_is_described_as_text(path: str, kind: str, words: str) -> None:
    answer = described_paths()[path]["get"]["responses"]["200"]
    assert answer == {"content": {kind: {"schema": LINES}}, "description": words}


def test_what_a_reader_says_of_papers_is_described_in_one_piece() -> None:
    content = described_paths()["/v1/readers/{reader_id}/papers"]["post"]["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    assert set(schema) == {"additionalProperties", "description", "examples", "properties", "required", "title", "type"}
    papers = schema["properties"]["papers"]
    assert schema["required"] == list(schema["properties"]) == ["papers"]
    assert (papers["type"], papers["minItems"], papers["maxItems"]) == ("array", 1, 500)
    names = {"arxiv_id", "doi", "title", "abstract", "authors", "url", "liked", "saved"}
    assert set(papers["items"]["properties"]) == names
    assert papers["items"]["additionalProperties"] is False


def test_the_document_says_what_it_is_of_and_what_its_tags_are() -> None:
    document = described_document()
    info = document["info"]
    assert (info["title"], info["summary"]) == ("Broadsheet", "Personal research digests.")
    assert (info["description"], document["tags"]) == (DESCRIPTION, TAGS)
    assert {tag for _, _, operation in operations() for tag in operation["tags"]} == {tag["name"] for tag in TAGS}
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    assert {"create_digest", "put_papers", "metrics"} <= set(names)
    key = {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "One of the keys in API_KEYS."}
    assert document["components"]["securitySchemes"] == {"APIKeyHeader": key}


def test_a_problem_is_described_part_by_part() -> None:
    schemas = described_document()["components"]["schemas"]
    problem, field = schemas["Problem"], schemas["InvalidField"]
    assert problem["required"] == ["title", "status", "detail"]
    assert field["required"] == ["location", "message"]
    examples = [part["examples"] for part in field["properties"].values()]
    assert examples == [["body.profile.name"], ["String should have at least 1 character"]]
    described = {name: part.get("examples", part.get("default")) for name, part in problem["properties"].items()}
    assert described == {
        "type": "about:blank",
        "title": ["Task not found"],
        "status": [404],
        "detail": ["There is no task 0193f2b0-0000-7000-8000-000000000000."],
        "instance": ["/v1/tasks"],
        "errors": None,
    }
    assert (problem["properties"]["status"]["minimum"], problem["properties"]["status"]["maximum"]) == (400, 599)


@pytest.mark.pins
def test_the_document_in_docs_is_what_the_api_says_of_itself() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert json.loads(text) == described_document(), "after a change that is meant: make openapi"
    assert text == written(described_document())
