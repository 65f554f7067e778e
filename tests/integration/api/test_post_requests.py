"""What each POST creates in Supabase: the values, the owner, the key and the limit, and the response."""

import hashlib
import json
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.integration.api.recorded_requests import api_before, headers_of, recorded_calls
from tests.support.rows import ID, LINE, MOMENT, OTHER, PAPER, READER, TASK, shown

PROFILE = {
    "name": "Ada",
    "title": "Engineer",
    "goals": "Keep up",
    "interests": ["ice"],
    "categories": ["cs.LG"],
    "authors": ["E. Noether"],
    "exclude": ["hype"],
    "language": "de",
}
DIGEST = {"profile": PROFILE, "source_date": "2026-03-04", "max_papers": 3, "max_news": 4}
PAYLOAD = {"profile": PROFILE, "max_papers": 3, "max_news": 4, "request_id": "one"}
HOOK = "https://hooks.example/x"
CREATED = {"outcome": "created", "created_at": MOMENT}
ROW = {
    "kind": "digest",
    "payload": PAYLOAD,
    "source_date": "2026-03-04",
    "priority": 1,
    "delay_seconds": 0.0,
    "max_attempts": 5,
    "callback_url": None,
    "idempotency_key": None,
}


async def post(path: str, body: Any, *answers: Any, **headers: str) -> tuple[httpx.Response, list[Any]]:
    """Post as ada with a fixed request id; returns the response and the requests to Supabase."""
    async with api_before(*answers) as (http, server):
        sent = headers_of("ada") | {"X-Request-ID": "one"} | {k.replace("_", "-"): v for k, v in headers.items()}
        answer = await http.post(path, json=body, headers=sent)
    return answer, recorded_calls(server)


def rows_of(requests: list[Any]) -> list[dict[str, Any]]:
    """The requested tasks; ada may have seven digests a day."""
    ((function, parameters),) = requests
    tasks: list[dict[str, Any]] = parameters.pop("p_tasks")
    assert (function, parameters) == (
        "create_tasks",
        {"p_owner": "ada", "p_replace_ended": False, "p_waiting_task": None, "p_daily_digests": 7},
    )
    return tasks


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def hashed(requests: Any) -> str:
    return hashlib.sha256(json.dumps(requests, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@pytest.mark.parametrize(
    ("path", "body", "row"),
    [
        ("/v1/digests", DIGEST, ROW),
        ("/v1/digests", DIGEST | {"callback_url": HOOK}, ROW | {"callback_url": HOOK}),
        (
            "/v1/fetches",
            {"source_date": "2026-03-04", "callback_url": HOOK},
            ROW | {"kind": "fetch", "payload": {"shared": True, "request_id": "one"}, "callback_url": HOOK},
        ),
    ],
)
async def test_a_task_is_created_and_the_response_has_its_location(
    path: str, body: dict[str, Any], row: dict[str, Any]
) -> None:
    answer, requests = await post(path, body, CREATED)
    (made,) = rows_of(requests)
    assert without(made, "task_id", "request_hash") == row
    assert answer.status_code == 202
    assert answer.headers["location"] == answer.json()["url"] == f"{path}/{made['task_id']}"
    assert answer.headers["retry-after"] == "2"
    assert (answer.json()["task_id"], answer.json()["owner"]) == (made["task_id"], "ada")
    assert answer.json()["created_at"] == MOMENT


async def test_a_minimal_digest_has_the_defaults() -> None:
    _answer, requests = await post("/v1/digests", {"profile": {"name": "Ada"}, "source_date": "2026-03-04"}, CREATED)
    payload = rows_of(requests)[0]["payload"]
    assert (payload["max_papers"], payload["max_news"], payload["profile"]["interests"]) == (12, 6, [])


@pytest.mark.parametrize(("path", "kind"), [("/v1/digests", "digest"), ("/v1/fetches", "fetch")])
async def test_a_repeated_key_compares_the_request_as_sent(path: str, kind: str) -> None:
    body: dict[str, Any] = {"callback_url": HOOK} | ({"profile": {"name": "Ada"}} if kind == "digest" else {})
    _answer, requests = await post(path, body, CREATED, Idempotency_Key="k1")
    (made,) = rows_of(requests)
    assert (made["idempotency_key"], made["request_hash"]) == ("caller:k1", hashed([kind, body]))


async def test_a_batch_keeps_its_order_and_is_compared_as_a_whole() -> None:
    digests = [DIGEST | {"max_papers": n} for n in (5, 6)]
    answer, requests = await post("/v1/digests/batch", {"digests": digests}, CREATED, Idempotency_Key="k1")
    made = rows_of(requests)
    key = {"idempotency_key": "batch:k1:0"}
    assert [without(each, "task_id", "request_hash") for each in made] == [
        ROW | {"payload": PAYLOAD | {"max_papers": 5}} | key,
        ROW | {"payload": PAYLOAD | {"max_papers": 6}} | {"idempotency_key": "batch:k1:1"},
    ]
    assert answer.status_code == 202
    assert [task["task_id"] for task in answer.json()["tasks"]] == [each["task_id"] for each in made]
    whole = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    assert {each["request_hash"] for each in made} == {hashed(["digest", {"batch": whole}])}


async def test_a_batch_without_a_key_is_digests_without_keys() -> None:
    _answer, requests = await post("/v1/digests/batch", {"digests": [DIGEST, DIGEST | {"callback_url": HOOK}]}, CREATED)
    first, second = rows_of(requests)
    assert without(first, "task_id", "request_hash") == ROW
    assert without(second, "task_id", "request_hash") == ROW | {"callback_url": HOOK}


@pytest.mark.parametrize("path", ["/v1/digests", "/v1/digests/batch"])
async def test_a_quota_error_has_usage_and_retry_after(path: str) -> None:
    body = {"digests": [DIGEST]} if path.endswith("batch") else DIGEST
    answer, _asked = await post(path, body, {"outcome": "quota", "ordered": 7, "retry_after": 60.2})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "61")
    assert answer.json()["detail"].startswith("ada may order 7 digests a day (UTC) and has ordered 7:")


NEW = {
    "external_id": "ada-1",
    "user_id": OTHER,
    "name": "Ada",
    "email": "ada@example.org",
    "profile": {"interests": ["ice"], "max_news": 0},
    "timezone": "Europe/Berlin",
    "send_at": "07:05",
    "weekdays": [1, 3],
    "when_empty": "notify",
    "status": "paused",
    "status_reason": "away",
    "welcome": True,
}


@pytest.mark.parametrize("sent", [NEW, {"name": "Ada"}, {"name": "Ada", "welcome": False, "timezone": None}], ids=str)
async def test_a_reader_is_created_from_the_sent_fields_only(sent: dict[str, Any]) -> None:
    answer, requests = await post("/v1/readers", sent, [{"reader_id": ID, "outcome": "created"}], [READER])
    (function, parameters), (read, where) = requests
    (row,) = parameters.pop("p_readers")
    assert (function, parameters) == ("upsert_readers", {"p_owner": "ada", "p_change": False})
    assert without(row, "reader_id") == sent
    assert (read, where) == ("GET readers", {"reader_id": f"eq.{ID}", "owner": "eq.ada", "limit": "1"})
    assert (answer.status_code, answer.headers["location"], answer.json()) == (201, f"/v1/readers/{ID}", LINE)


async def test_a_reader_without_a_schedule_has_no_send_time() -> None:
    bare = READER | {"send_at": None, "timezone": None, "email": None}
    async with api_before([bare]) as (http, _server):
        answer = await http.get(f"/v1/readers/{ID}", headers=headers_of("ada"))
    assert answer.json() == LINE | {"send_at": None, "timezone": None, "email": None}


OUTCOMES = [
    ({"reader_id": ID, "outcome": "created"}, "created"),
    ({"reader_id": ID, "outcome": "changed"}, "changed"),
    ({"reader_id": ID, "outcome": "unchanged"}, "unchanged"),
    ({"reader_id": ID, "outcome": "existing"}, "unchanged"),
]


async def import_lines(text: bytes, *answers: Any) -> tuple[dict[str, Any], list[Any]]:
    async with api_before(*answers) as (http, server):
        answer = await http.post("/v1/readers/import", content=text, headers=headers_of("ada"))
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report, recorded_calls(server)


async def test_an_import_creates_each_line_for_its_caller() -> None:
    sent = [NEW, {"external_id": "b", "name": "B", "user_id": OTHER}]
    text = b"\n".join(json.dumps(each).encode() for each in sent)
    puts = [{"reader_id": ID, "outcome": "created"}, {"reader_id": None, "outcome": "refused", "reason": "r" * 400}]
    report, ((function, parameters),) = await import_lines(text, puts)
    rows = parameters.pop("p_readers")
    assert (function, parameters) == ("upsert_readers", {"p_owner": "ada", "p_change": True})
    assert [without(row, "reader_id") for row in rows] == sent
    assert len({row["reader_id"] for row in rows}) == 2
    refused = [{"line": 2, "reason": "r" * 300}]
    assert report == {"created": 1, "changed": 0, "unchanged": 0, "refused": refused}


async def test_an_import_counts_the_outcomes_of_its_lines() -> None:
    text = b"".join(b'{"external_id": "r%d", "name": "R"}\n' % n for n in range(8))
    report, _asked = await import_lines(text, [put for put, _ in OUTCOMES for _ in range(2)])
    assert report == {"created": 2, "changed": 2, "unchanged": 4, "refused": []}


async def test_an_import_error_does_not_quote_the_line() -> None:
    text = b'{"external_id": "a", "name": "A", "weekdays": [9]}\n{"external_id": "a"}\n\n[]\nsecret\n' + b"x" * 64_001
    report, requests = await import_lines(text, [])
    assert [refused["line"] for refused in report["refused"]] == [1, 2, 4, 5, 6]
    reasons = [refused["reason"] for refused in report["refused"]]
    assert reasons[:2] == ["weekdays.0: Input should be less than or equal to 7", "name: Field required"]
    assert reasons[2].startswith("Input should be an object")
    assert reasons[3].startswith("Invalid JSON: expected value")
    assert reasons[4] == "the line has more than 64000 bytes"
    assert requests == []


async def test_an_import_sends_two_hundred_readers_at_once() -> None:
    text = b"".join(b'{"external_id": "r%d", "name": "R"}\n' % n for n in range(201))
    put = {"reader_id": ID, "outcome": "changed"}
    report, requests = await import_lines(text, [put] * 200, [put])
    assert [len(parameters["p_readers"]) for _, parameters in requests] == [200, 1]
    assert report["changed"] == 201


async def test_an_export_is_valid_input_of_an_import() -> None:
    async with api_before([READER, READER | {"external_id": "b", "timezone": None}], [READER], []) as (http, server):
        answer = await http.get("/v1/readers/export", headers=headers_of("ada"))
    names = list(without(NEW, "welcome"))
    line = {name: LINE[name] for name in names}
    assert [json.loads(each) for each in answer.text.splitlines()] == [
        line,
        without(line, "timezone") | {"external_id": "b"},
        line,
    ]
    assert answer.text.endswith("\n")
    assert answer.headers["content-type"] == "application/x-ndjson"
    mine = {"owner": "eq.ada", "order": "reader_id", "limit": "500"}
    on = ("GET readers", {"reader_id": f"gt.{ID}", **mine})
    assert recorded_calls(server) == [("GET readers", mine), on, on]


async def test_saved_papers_are_exported_as_bibtex() -> None:
    page = [PAPER | {"saved_at": MOMENT}] * 100
    async with api_before([READER], page, [PAPER | {"saved_at": MOMENT}], []) as (http, server):
        answer = await http.get(f"/v1/readers/{ID}/saved.bib", headers=headers_of("ada"))
    assert answer.headers["content-type"] == "application/x-bibtex; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="saved.bib"'
    assert answer.text.count("\n@") + answer.text.startswith("@") == 101
    (first, whose), *pages = recorded_calls(server)
    assert (first, whose["owner"]) == ("GET readers", "eq.ada")
    assert [function for function, _ in pages] == ["list_saved_papers"] * 3
    last = (datetime.fromisoformat(MOMENT).isoformat(), PAPER["paper_id"])
    assert [(page["p_after"], page["p_after_id"]) for _, page in pages] == [(None, None), last, last]


WRITTEN: dict[str, Any] = {
    "source_date": "2026-03-04",
    "profile": PROFILE,
    "introduction": "Of ice",
    "papers": [],
    "news": [],
    "considered": 3,
    "edition_status": "completed",
}


async def test_a_digests_page_has_a_strict_content_policy() -> None:
    done = TASK | {"status": "completed"}
    async with api_before([done], [{"digest": WRITTEN}]) as (http, server):
        answer = await http.get(f"/v1/digests/{ID}/html", headers=headers_of("ada"))
    assert (answer.status_code, "Of ice" in answer.text) == (200, True)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups"
    assert answer.headers["content-security-policy"] == policy
    one = {"task_id": f"eq.{ID}", "limit": "1"}
    assert recorded_calls(server) == [("GET task_records", one | {"owner": "eq.ada"}), ("GET digests", one)]


@pytest.mark.parametrize(("error", "reason"), [("the model said nothing", ": the model said nothing"), (None, "")])
async def test_an_unfinished_digest_has_no_page(error: str | None, reason: str) -> None:
    async with api_before([TASK | {"error": error}]) as (http, _server):
        answer = await http.get(f"/v1/digests/{ID}/html", headers=headers_of("ada"))
    assert (answer.status_code, answer.json()["title"]) == (409, "Digest not completed")
    assert answer.json()["detail"] == f"The digest {ID} is running{reason}; it has no page."


async def test_a_finished_digest_is_read_on_request() -> None:
    done = TASK | {"status": "completed"}
    async with api_before([done], [{"digest": WRITTEN}]) as (http, server):
        found = (await http.get(f"/v1/digests/{ID}?include=result", headers=headers_of("ada"))).json()
        assert len(server.seen) == 2
    assert (found.pop("digest")["introduction"], found) == ("Of ice", shown(done))
    for task, query in ((done, ""), (TASK, "?include=result")):
        async with api_before([task]) as (http, server):
            assert (await http.get(f"/v1/digests/{ID}{query}", headers=headers_of("ada"))).json()["digest"] is None
            assert len(server.seen) == 1


@pytest.mark.parametrize("path", ["digests", "fetches", "callbacks"])
async def test_a_task_of_another_kind_is_404_with_its_url(path: str) -> None:
    kind = {"digests": "fetch", "fetches": "callback", "callbacks": "digest"}[path]
    task = TASK | {"kind": kind}
    async with api_before([task]) as (http, _server):
        answer = await http.get(f"/v1/{path}/{ID}", headers=headers_of("ada"))
    assert (answer.status_code, answer.json()["title"]) == (404, "Task not found")
    expected_kind = {"digests": "digest", "fetches": "fetch", "callbacks": "callback"}[path]
    assert answer.json()["detail"] == f"Task {ID} is a {kind}, not a {expected_kind}: see {shown(task)['url']}"
