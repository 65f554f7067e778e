"""Callers' requests to Supabase: exactly the given values, the owner, every filter and the cursor."""

from typing import Any
from uuid import UUID

import pytest

from app.persistence.paging import encode_cursor
from tests.integration.api.recorded_requests import Request, check
from tests.support.rows import DAY, EDITION, ID, LINE, OTHER, PAPER, READER, TASK, shown

TASKS: dict[str, Any] = {
    "p_owner": "ada",
    "p_kind": None,
    "p_status": None,
    "p_source_date": None,
    "p_before": None,
    "p_before_id": None,
    "p_limit": 51,
}
PAPERS: dict[str, Any] = {"p_reader": ID, "p_saved": False, "p_before": None, "p_before_id": None, "p_limit": 51}
PLACE = f"cursor={encode_cursor(DAY, UUID(OTHER))}"
PLACED = {"p_before": DAY.isoformat(), "p_before_id": OTHER}
ALL = {"order": "reader_id", "limit": "51"}
MINE, ANYBODYS = (
    ("GET readers", {"reader_id": f"eq.{ID}", "owner": "eq.ada", "limit": "1"}),
    ("GET readers", {"reader_id": f"eq.{ID}", "limit": "1"}),
)
FETCH = TASK | {"kind": "fetch"}
CALLBACK = TASK | {"kind": "callback", "status": "completed"}


def one_task(**more: str) -> tuple[str, dict[str, str]]:
    return "GET task_records", {"task_id": f"eq.{ID}", **more, "limit": "1"}


LISTS = [
    Request("ada", "GET /v1/tasks", [[]], [("list_tasks", TASKS)]),
    Request("ada", "GET /v1/tasks?owner=ada", [[]], [("list_tasks", TASKS)]),
    Request("root", "GET /v1/tasks", [[]], [("list_tasks", TASKS | {"p_owner": None})]),
    Request("root", "GET /v1/tasks?owner=eve", [[]], [("list_tasks", TASKS | {"p_owner": "eve"})]),
    Request("ada", "GET /v1/tasks?kind=digest", [[]], [("list_tasks", TASKS | {"p_kind": "digest"})]),
    Request("ada", "GET /v1/tasks?status=failed", [[]], [("list_tasks", TASKS | {"p_status": "failed"})]),
    Request(
        "ada", "GET /v1/tasks?source_date=2026-03-04", [[]], [("list_tasks", TASKS | {"p_source_date": "2026-03-04"})]
    ),
    Request("ada", f"GET /v1/tasks?{PLACE}", [[]], [("list_tasks", TASKS | PLACED)]),
    Request(
        "ada",
        "GET /v1/tasks?limit=1",
        [[TASK, TASK]],
        [("list_tasks", TASKS | {"p_limit": 2})],
        {"tasks": [shown(TASK)], "next_cursor": encode_cursor(DAY, UUID(ID))},
    ),
    Request("ada", "GET /v1/editions", [[]], [("GET editions", {"order": "source_date.desc", "limit": "31"})]),
    Request(
        "ada",
        "GET /v1/editions?cursor=2026-03-05&limit=1",
        [[EDITION, EDITION | {"source_date": "2026-03-03"}]],
        [("GET editions", {"source_date": "lt.2026-03-05", "order": "source_date.desc", "limit": "2"})],
        {"editions": [EDITION], "next_cursor": "2026-03-04"},
    ),
    Request(
        "ada",
        "GET /v1/editions/2026-03-04",
        [[EDITION]],
        [("GET editions", {"source_date": "eq.2026-03-04", "limit": "1"})],
        EDITION,
    ),
    Request(
        "ada",
        "GET /v1/readers",
        [[]],
        [("GET readers", {"owner": "eq.ada", **ALL})],
        {"readers": [], "next_cursor": None},
    ),
    Request("root", "GET /v1/readers", [[]], [("GET readers", ALL)]),
    Request("root", "GET /v1/readers?status=paused", [[]], [("GET readers", {"status": "eq.paused", **ALL})]),
    Request("root", "GET /v1/readers?external_id=ada-1", [[]], [("GET readers", {"external_id": "eq.ada-1", **ALL})]),
    Request(
        "root",
        f"GET /v1/readers?cursor={OTHER}&limit=7",
        [[READER], []],
        [
            ("GET readers", {"reader_id": f"gt.{OTHER}", "order": "reader_id", "limit": "8"}),
            ("GET readers", {"reader_id": f"gt.{ID}", "order": "reader_id", "limit": "7"}),
        ],
        {"readers": [LINE], "next_cursor": None},
    ),
    Request(
        "root",
        "GET /v1/readers?limit=1",
        [[READER, READER]],
        [("GET readers", {"order": "reader_id", "limit": "2"})],
        {"readers": [LINE], "next_cursor": ID},
    ),
]

READERS = [
    Request("ada", f"GET /v1/readers/{ID}", [[READER]], [MINE], LINE),
    Request("root", f"GET /v1/readers/{ID}", [[READER]], [ANYBODYS], LINE),
    Request("ada", f"PATCH /v1/readers/{ID}", [[READER]], [MINE], LINE, sent={}),
    Request("root", f"PATCH /v1/readers/{ID}", [[READER]], [ANYBODYS], LINE, sent={}),
    Request(
        "ada",
        f"PATCH /v1/readers/{ID}",
        [[READER]],
        [("PATCH readers", {"reader_id": f"eq.{ID}", "owner": "eq.ada", "user_id": OTHER, "status": "paused"})],
        LINE,
        sent={"user_id": OTHER, "status": "paused"},
    ),
    Request(
        "root",
        f"PATCH /v1/readers/{ID}",
        [[READER]],
        [("PATCH readers", {"reader_id": f"eq.{ID}", "timezone": None})],
        LINE,
        sent={"timezone": None},
    ),
    *(
        Request(
            caller,
            f"POST /v1/readers/{ID}/revoke-links",
            [[READER], [{"link_generation": 4}], []],
            [
                first,
                ("GET readers_private", {"reader_id": f"eq.{ID}", "limit": "1"}),
                ("PATCH readers_private", {"reader_id": f"eq.{ID}", "link_generation": 5}),
            ],
            status=204,
        )
        for caller, first in (("ada", MINE), ("root", ANYBODYS))
    ),
    *(
        Request(
            caller,
            f"DELETE /v1/readers/{ID}",
            [[READER], True],
            [first, ("remove_reader", {"p_reader_id": ID, "p_owner": "eve"})],
            status=204,
        )
        for caller, first in (("ada", MINE), ("root", ANYBODYS))
    ),
]

OF_READERS = [
    Request("ada", f"GET /v1/readers/{ID}/papers", [[READER], []], [MINE, ("list_reader_papers", PAPERS)]),
    Request("root", f"GET /v1/readers/{ID}/papers", [[READER], []], [ANYBODYS, ("list_reader_papers", PAPERS)]),
    Request(
        "ada",
        f"GET /v1/readers/{ID}/papers?saved=true&{PLACE}",
        [[READER], []],
        [MINE, ("list_reader_papers", PAPERS | PLACED | {"p_saved": True})],
    ),
    Request(
        "ada",
        f"GET /v1/readers/{ID}/papers?limit=1",
        [[READER], [PAPER | {"looked_up_at": None}, PAPER]],
        [MINE, ("list_reader_papers", PAPERS | {"p_limit": 2})],
        {"papers": [PAPER | {"lookup": None}], "next_cursor": encode_cursor(DAY, UUID(OTHER))},
    ),
    *(
        Request(
            caller,
            f"DELETE /v1/readers/{ID}/papers/{OTHER}",
            [[READER], [PAPER], None],
            [
                first,
                ("GET reader_papers", {"reader_id": f"eq.{ID}", "paper_id": f"eq.{OTHER}", "limit": "1"}),
                ("remove_reader_paper", {"p_reader": ID, "p_paper": OTHER}),
            ],
            status=204,
        )
        for caller, first in (("ada", MINE), ("root", ANYBODYS))
    ),
]

ONE_TASK = [
    Request("ada", f"GET /v1/digests/{ID}", [[TASK]], [one_task(owner="eq.ada")], shown(TASK) | {"digest": None}),
    Request("root", f"GET /v1/digests/{ID}", [[TASK]], [one_task()], shown(TASK) | {"digest": None}),
    Request("ada", f"GET /v1/fetches/{ID}", [[FETCH]], [one_task(owner="eq.ada")], shown(FETCH)),
    Request("ada", f"GET /v1/callbacks/{ID}", [[CALLBACK]], [one_task(owner="eq.ada")], shown(CALLBACK)),
    Request("root", f"GET /v1/callbacks/{ID}", [[CALLBACK]], [one_task()], shown(CALLBACK)),
    *(
        Request(
            "ada",
            f"POST /v1/{path}/{ID}/cancel",
            [[task], {"task": task}],
            [one_task(owner="eq.ada"), ("cancel_task", {"p_task_id": ID, "p_owner": "ada"})],
            shown(task),
            status=202,
        )
        for path, task in (("digests", TASK), ("fetches", FETCH))
    ),
    *(
        Request(
            "root",
            f"POST /v1/{path}/{ID}/cancel",
            [[task], {"task": task}],
            [one_task(), ("cancel_for_operator", {"p_task_id": ID, "p_audit_id": "some id", "p_actor": "root"})],
            shown(task),
            status=202,
        )
        for path, task in (("digests", TASK), ("fetches", FETCH))
    ),
]


@pytest.mark.parametrize("request_", [*LISTS, *READERS, *OF_READERS, *ONE_TASK], ids=str)
async def test_a_callers_values_and_its_scope_reach_supabase(request_: Request) -> None:
    await check(request_)
