"""Operators' requests to Supabase, also about deliveries: exactly the given values."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.api import admin
from app.persistence.operator import STEP
from app.persistence.paging import encode_cursor
from tests.integration.api.recorded_requests import AN_ID, Request, api_before, check, headers_of, recorded_calls
from tests.support.rows import DAY, DELIVERY, ID, MOMENT, OTHER, OVERVIEW, PAUSE, TASK, shown

DONE = {"task": TASK, "done": True}
ROOT = {"p_audit_id": AN_ID, "p_actor": "root"}
STEP_OF = {
    "p_kind": "digest",
    "p_cause": None,
    "p_since": None,
    "p_until": None,
    "p_after": None,
    "p_step": STEP,
    **ROOT,
}
LISTED = {
    "p_owner": None, "p_status": None, "p_reader_id": None, "p_before": None, "p_before_id": None, "p_limit": 51,
}  # fmt: skip
ENTRY = {"audit_id": ID, "created_at": MOMENT, "actor": "root", "action": "pause", "details": {"kind": "fetch"}}
WORKER = {
    "worker_id": ID, "host": "one", "version": "0.1.0", "seen_at": MOMENT, "last_seen_seconds": 1.5, "alive": True,
    "running_tasks": 2,
    "not_configured": {"MAIL_URL": "this worker sends no mails"},
}  # fmt: skip
PLACE = f"cursor={encode_cursor(DAY, UUID(OTHER))}"
NEWEST_ENTRIES = {"order": "created_at.desc,audit_id.desc"}
AT = f'"{DAY.isoformat()}"'
AFTER_PLACE = f"(created_at.lt.{AT},and(created_at.eq.{AT},audit_id.lt.{OTHER}))"

ADMINS = [
    Request("root", "GET /v1/admin/overview", [OVERVIEW], [("operator_overview", {"p_hours": 6})], OVERVIEW),
    Request("root", "GET /v1/admin/overview?hours=7", [OVERVIEW], [("operator_overview", {"p_hours": 7})], OVERVIEW),
    Request(
        "root",
        f"POST /v1/admin/tasks/{ID}/replay",
        [DONE],
        [("replay_task", {"p_task_id": ID, **ROOT})],
        shown(TASK),
        status=202,
    ),
    Request(
        "root",
        f"POST /v1/admin/callbacks/{ID}/redeliver",
        [DONE],
        [("redeliver", {"p_task_id": ID, **ROOT})],
        shown(TASK),
        status=202,
    ),
    Request(
        "root",
        "POST /v1/admin/kinds/fetch/pause",
        [{"pause": PAUSE}],
        [("pause_kind", {"p_kind": "fetch", "p_reason": "because", **ROOT})],
        PAUSE,
        sent={"reason": "because"},
    ),
    Request(
        "root",
        "POST /v1/admin/kinds/fetch/resume",
        [{"pause": PAUSE}],
        [("resume_kind", {"p_kind": "fetch", **ROOT})],
        PAUSE,
    ),
    Request(
        "root",
        "GET /v1/admin/pauses",
        [[PAUSE]],
        [("GET pauses", {"ended_at": "is.null", "order": "started_at"})],
        {"pauses": [PAUSE]},
    ),
    Request("root", "GET /v1/admin/workers", [[WORKER]], [("list_worker_rows", {})], {"workers": [WORKER]}),
    Request(
        "root",
        f"GET /v1/admin/orphaned_tasks?limit=1&cursor={OTHER}",
        [{"task_ids": [ID], "next": ID}],
        [("orphaned_tasks", {"p_after": OTHER, "p_limit": 1, "p_scan": 10_000})],
        {"task_ids": [ID], "next_cursor": ID},
    ),
    Request(
        "root",
        "GET /v1/admin/orphaned_tasks",
        [{"task_ids": [], "next": None}],
        [("orphaned_tasks", {"p_after": None, "p_limit": 50, "p_scan": 10_000})],
        {"task_ids": [], "next_cursor": None},
    ),
    Request(
        "root",
        f"GET /v1/admin/audit?limit=7&{PLACE}",
        [[ENTRY]],
        [("GET audit", NEWEST_ENTRIES | {"limit": "8", "or": AFTER_PLACE})],
        {"entries": [ENTRY], "next_cursor": None},
    ),
    Request(
        "root",
        "GET /v1/admin/audit?limit=1",
        [[ENTRY, ENTRY | {"audit_id": OTHER}]],
        [("GET audit", NEWEST_ENTRIES | {"limit": "2"})],
        {"entries": [ENTRY], "next_cursor": encode_cursor(datetime.fromisoformat(MOMENT), UUID(ID))},
    ),
    Request(
        "root",
        "GET /v1/admin/audit",
        [[]],
        [("GET audit", NEWEST_ENTRIES | {"limit": "51"})],
        {"entries": [], "next_cursor": None},
    ),
]

DELIVERIES = [
    Request("root", "GET /v1/deliveries", [[]], [("list_deliveries", LISTED)]),
    Request("ada", "GET /v1/deliveries", [[]], [("list_deliveries", LISTED | {"p_owner": "ada"})]),
    Request("root", "GET /v1/deliveries?status=sent", [[]], [("list_deliveries", LISTED | {"p_status": "sent"})]),
    Request("root", f"GET /v1/deliveries?reader_id={ID}", [[]], [("list_deliveries", LISTED | {"p_reader_id": ID})]),
    Request("root", "GET /v1/deliveries?limit=7", [[]], [("list_deliveries", LISTED | {"p_limit": 8})]),
    Request(
        "root",
        f"GET /v1/deliveries?{PLACE}",
        [[]],
        [("list_deliveries", LISTED | {"p_before": DAY.isoformat(), "p_before_id": OTHER})],
    ),
    Request(
        "root",
        "GET /v1/deliveries?limit=1",
        [[DELIVERY, DELIVERY | {"delivery_id": OTHER}]],
        [("list_deliveries", LISTED | {"p_limit": 2})],
        {"deliveries": [DELIVERY], "next_cursor": encode_cursor(DAY, UUID(ID))},
    ),
    Request(
        "ada",
        f"GET /v1/deliveries/{ID}",
        [[DELIVERY]],
        [("GET deliveries", {"delivery_id": f"eq.{ID}", "owner": "eq.ada", "limit": "1"})],
        DELIVERY,
    ),
    Request(
        "root",
        f"GET /v1/deliveries/{ID}",
        [[DELIVERY]],
        [("GET deliveries", {"delivery_id": f"eq.{ID}", "limit": "1"})],
        DELIVERY,
    ),
    Request(
        "ada", "GET /v1/deliveries/pause", ['"moved"'], [("deliveries_paused", {})], {"paused": True, "reason": "moved"}
    ),
    Request(
        "root",
        "POST /v1/deliveries/pause",
        [None, '"root: moving"'],
        [
            ("set_pause_for_operator", {"p_reason": "root: moving", **ROOT}),
            ("deliveries_paused", {}),
        ],
        {"paused": True, "reason": "root: moving"},
        sent={"reason": "moving"},
    ),
    Request(
        "root",
        "POST /v1/deliveries/resume",
        [None, '"still"'],
        [("set_pause_for_operator", {"p_reason": None, **ROOT}), ("deliveries_paused", {})],
        {"paused": True, "reason": "still"},
        sent={"pending": "send"},
    ),
    Request(
        "root",
        "POST /v1/deliveries/resume",
        [True, False, None, '"still"'],
        [
            *[("skip_deliveries_for_operator", {"p_limit": 1000, **ROOT})] * 2,
            ("set_pause_for_operator", {"p_reason": None, **ROOT}),
            ("deliveries_paused", {}),
        ],
        {"paused": True, "reason": "still"},
        sent={"pending": "skip"},
    ),
    Request(
        "root",
        f"POST /v1/deliveries/{ID}/resolve",
        [{"resolved": True, "delivery": DELIVERY}],
        [("resolve_for_operator", {"p_delivery_id": ID, "p_status": "failed", **ROOT})],
        DELIVERY,
        sent={"status": "failed"},
    ),
]


@pytest.mark.parametrize("request_", [*ADMINS, *DELIVERIES], ids=str)
async def test_an_operators_values_reach_supabase(request_: Request) -> None:
    await check(request_)


@pytest.mark.parametrize("path", ["pause", "resume", f"{ID}/resolve"])
async def test_admin_routes_make_no_call_for_other_callers(path: str) -> None:
    sent = {"pause": {"reason": "x"}, "resume": {"pending": "skip"}}.get(path, {"status": "sent"})
    async with api_before(None) as (http, server):
        answer = await http.post(f"/v1/deliveries/{path}", json=sent, headers=headers_of("ada"))
    assert (answer.status_code, answer.json()["title"]) == (403, "Admin required")
    assert answer.json()["detail"] == "ada is not an admin: add it to ADMINS."
    assert recorded_calls(server) == []


@pytest.mark.parametrize("path", [f"tasks/{ID}/replay", f"callbacks/{ID}/redeliver"])
async def test_a_replay_returns_location_and_retry_after(path: str) -> None:
    async with api_before(DONE) as (http, _server):
        answer = await http.post(f"/v1/admin/{path}", headers=headers_of("root"))
    assert answer.headers["location"] == f"/v1/digests/{ID}"
    assert answer.headers["retry-after"] == "2"


def step(replayed: int, until: str | None, after: str | None) -> dict[str, Any]:
    return {"replayed": replayed, "until": until, "next": after}


def replayed(count: int, until: str | None, cursor: str | None) -> dict[str, Any]:
    return {"replayed": count, "until": until, "next_cursor": cursor}


async def replay(sent: dict[str, Any], *steps: Any) -> tuple[Any, list[Any]]:
    """Send a replay of digests; returns the response, and the arguments of each step."""
    async with api_before(*steps) as (http, server):
        answer = await http.post("/v1/admin/replays", json={"kind": "digest", **sent}, headers=headers_of("root"))
    assert answer.status_code == 200, answer.text
    return answer.json(), recorded_calls(server)


async def test_a_replay_continues_until_the_last_step() -> None:
    sent = {"since": "2026-03-01T00:00:00+01:00", "until": "2026-03-03T00:00:00Z", "cursor": ID}
    response, requests = await replay(sent, step(1000, MOMENT, OTHER), step(5, MOMENT, None))
    assert response == replayed(1005, MOMENT, None)
    since = STEP_OF | {"p_since": "2026-02-28T23:00:00+00:00"}
    assert requests == [
        ("replay_dead_letters", since | {"p_until": "2026-03-03T00:00:00+00:00", "p_after": ID}),
        ("replay_dead_letters", since | {"p_until": DAY.isoformat(), "p_after": OTHER}),
    ]


async def test_a_replay_without_bounds_covers_all_until_now() -> None:
    response, requests = await replay({}, step(3, MOMENT, None))
    assert response == replayed(3, MOMENT, None)
    assert requests == [("replay_dead_letters", STEP_OF)]


async def test_a_long_replay_ends_in_time_with_a_cursor() -> None:
    places = [str(uuid4()) for _ in range(admin.MAX_STEPS)]
    response, requests = await replay({}, *(step(10, MOMENT, place) for place in places))
    assert response == replayed(10 * admin.MAX_STEPS, MOMENT, places[-1])
    assert [parameters["p_after"] for _, parameters in requests] == [None, *places[:-1]]
