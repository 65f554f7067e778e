"""The row of a new task, and the response to each way of creating one."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import respx
from supabase import AsyncClient

from app.errors import FetchLimitReached, IdempotencyConflict, QuotaExceeded
from app.models.tasks import Task, TaskKind, TaskStatus
from app.persistence.idempotency_keys import CallerKey, OwnKey
from app.persistence.new_task import NewTask
from app.persistence.tasks import TaskStateManager
from tests.support.persistence_requests import RECORD, sent
from tests.support.requests import AT, DAY, MOMENT, ONE, TWO

URL = "https://receiver.example/"
WHOLE = NewTask(ONE, TaskKind.DIGEST, {"b": "a\0b", "a": 1}, DAY, 3, timedelta(minutes=1), 7, URL, CallerKey("k"))
PLAIN = NewTask(TWO, TaskKind.FETCH, {}, None)
WHOLE_ROW = {
    "task_id": str(ONE), "kind": "digest", "payload": {"b": "ab", "a": 1}, "source_date": "2026-01-02", "priority": 3,
    "delay_seconds": 60.0, "max_attempts": 7, "callback_url": URL, "idempotency_key": "caller:k",
    "request_hash": "2f9c213b2f6cca3835358d90e611d9aa5956643f59813627ed9491d853a90ea0",
}  # fmt: skip
PLAIN_ROW: dict[str, Any] = {
    "task_id": str(TWO), "kind": "fetch", "payload": {}, "source_date": None, "priority": 1, "delay_seconds": 0.0,
    "max_attempts": 5, "callback_url": None, "idempotency_key": None,
    "request_hash": "cf9468c2a1b19a649bd9ae392a89b0b601309f99fa3b45756d72a7a399b5e3a6",
}  # fmt: skip
MADE = {"outcome": "created", "created_at": AT}


def test_the_stored_fields_of_a_task() -> None:
    """The hashes are compared with those of requests before the last deployment, so they must not change."""
    assert WHOLE.as_row() == WHOLE_ROW
    assert PLAIN.as_row() == PLAIN_ROW


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (CallerKey("k", {"a": 1, "b": {"c": 2, "d": 3}}), CallerKey("k", {"b": {"d": 3, "c": 2}, "a": 1}), True),
        (CallerKey("k", {"a": 1}), CallerKey("k", {"a": "1"}), False),
        (CallerKey("k", {}), CallerKey("k"), False),
        (CallerKey("k", {"a": "b\0"}), CallerKey("k", {"a": "b"}), True),
        (CallerKey("k"), OwnKey("k"), True),
    ],
)
def test_equal_requests_have_equal_hashes(one: CallerKey, other: CallerKey | OwnKey, same: bool) -> None:
    first, second = (replace(WHOLE, key=key).as_row()["request_hash"] for key in (one, other))
    assert (first == second) is same


def test_an_idempotency_key_is_stored_with_its_scope() -> None:
    keys = (CallerKey("k"), CallerKey("k", place=0), CallerKey("k", place=7), OwnKey("k"))
    stored = [replace(WHOLE, key=key).as_row()["idempotency_key"] for key in keys]
    assert stored == ["caller:k", "batch:k:0", "batch:k:7", "own:k"]


async def test_every_value_of_a_task_is_sent_and_returned(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/create_tasks").respond(200, json=MADE)
    made = await TaskStateManager(client).create_task_with_source_date(
        task_id=ONE, kind=TaskKind.DIGEST, payload=WHOLE.payload, source_date=DAY, priority=3,
        delay=timedelta(minutes=1), max_attempts=7, callback_url=URL, idempotency_key=CallerKey("k"), owner="web",
        daily_digests=9,
    )  # fmt: skip
    assert sent(router)[2] == {
        "p_owner": "web", "p_tasks": [WHOLE_ROW], "p_replace_ended": False, "p_waiting_task": None,
        "p_daily_digests": 9,
    }  # fmt: skip
    assert made == Task(
        task_id=ONE, owner="web", kind=TaskKind.DIGEST, status=TaskStatus.PENDING, priority=3,
        run_at=MOMENT + timedelta(minutes=1), source_date=DAY, callback_url=URL, max_attempts=7, created_at=MOMENT,
        updated_at=MOMENT,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "owner", "stored", "own"),
    [(None, {}, "default", False), (CallerKey("k"), {"owner": "web"}, "web", False), (OwnKey("k"), {}, "system", True),
     (OwnKey("k"), {"owner": "web"}, "system", True)],
)  # fmt: skip
async def test_tasks_under_internal_keys_belong_to_the_service(
    key: CallerKey | OwnKey | None, owner: dict[str, Any], stored: str, own: bool, client: AsyncClient,
    router: respx.Router,
) -> None:  # fmt: skip
    router.post("/rpc/create_tasks").respond(200, json=MADE)
    made = await TaskStateManager(client).create_tasks([replace(PLAIN, key=key), PLAIN], **owner)
    body = sent(router)[2]
    assert (body["p_owner"], body["p_replace_ended"], body["p_daily_digests"]) == (stored, own, None)
    assert [(task.task_id, task.owner) for task in made] == [(TWO, stored), (TWO, stored)]


async def test_an_existing_task_is_returned_with_its_current_status(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/create_tasks").respond(200, json={"outcome": "existing", "tasks": [RECORD]})
    (found,) = await TaskStateManager(client).create_tasks([PLAIN])
    assert str(found.task_id) == RECORD["task_id"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [(CallerKey("k", place=3), "The key 'k'"), (OwnKey("fetch:d"), "The key 'fetch:d'"), (None, f"The id {TWO}")],
)
async def test_a_conflicting_request_names_the_existing_task(
    key: CallerKey | OwnKey | None, expected: str, client: AsyncClient, router: respx.Router
) -> None:
    router.post("/rpc/create_tasks").respond(200, json={"outcome": "conflict", "tasks": [RECORD]})
    with pytest.raises(IdempotencyConflict) as refused:
        await TaskStateManager(client).create_tasks([replace(PLAIN, key=key)])
    known = RECORD["task_id"]
    assert str(refused.value) == f"{expected} belongs to task {known}, which has a different request: use a new key."


@pytest.mark.parametrize(("answer", "retry_after"), [({"ordered": 4, "retry_after": 41.5}, 41.5), ({}, 0.0)])
async def test_a_quota_error_has_the_usage_and_the_retry_time(
    answer: dict[str, Any], retry_after: float, client: AsyncClient, router: respx.Router
) -> None:
    router.post("/rpc/create_tasks").respond(200, json={"outcome": "quota", **answer})
    with pytest.raises(QuotaExceeded) as refused:
        await TaskStateManager(client).create_tasks([PLAIN, WHOLE], owner="web", daily_digests=5)
    ordered = answer.get("ordered", 0)
    assert str(refused.value) == (
        f"web may order 5 digests a day (UTC) and has ordered {ordered}: 2 more exceed the limit. "
        "Order them after midnight UTC."
    )
    assert refused.value.retry_after == retry_after


@pytest.mark.parametrize(
    ("options", "waiting", "refetch", "key"),
    [
        ({}, None, False, "own:fetch:2026-01-02"),
        ({"waiting": TWO, "refetch": True}, str(TWO), True, "own:fetch:2026-01-02"),
        ({"due": datetime(2026, 1, 3, 6, 30, tzinfo=UTC)}, None, False, "own:daily:2026-01-03:06:30:00:2026-01-02"),
    ],
)
async def test_the_shared_fetch_of_a_day(
    options: dict[str, Any], waiting: str | None, refetch: bool, key: str, client: AsyncClient, router: respx.Router
) -> None:
    router.post("/rpc/ensure_fetch").respond(200, json=MADE)
    made = await TaskStateManager(client).ensure_fetch(date(2026, 1, 2), **options)
    body = sent(router)[2]
    row = body.pop("p_task")
    limits = {"p_refresh": False, "p_caller_limit": 10}
    assert body == {"p_source_date": "2026-01-02", "p_waiting_task": waiting, "p_replace_completed": refetch, **limits}
    hashed = row["request_hash"]
    expected = PLAIN_ROW | {"source_date": "2026-01-02", "priority": 0, "idempotency_key": key, "request_hash": hashed}
    assert row == expected | {"task_id": str(made.task_id)}
    assert (made.owner, made.source_date, made.priority, made.created_at) == ("system", DAY, 0, MOMENT)


async def test_an_existing_fetch_of_the_day_is_returned(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/ensure_fetch").respond(200, json={"outcome": "existing", "tasks": [RECORD]})
    assert str((await TaskStateManager(client).ensure_fetch(DAY)).task_id) == RECORD["task_id"]


async def test_a_current_day_needs_no_fetch(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/ensure_fetch").respond(200, json={"outcome": "fresh"})
    assert await TaskStateManager(client).refresh_fetch(DAY, waiting=TWO) is None
    body = sent(router)[2]
    assert (body["p_replace_completed"], body["p_refresh"], body["p_waiting_task"]) == (True, True, str(TWO))


async def test_a_caller_with_too_many_fetches_gets_a_retry_time(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/ensure_fetch").respond(200, json={"outcome": "busy"})
    with pytest.raises(FetchLimitReached, match="10 days are being fetched for this caller") as refused:
        await TaskStateManager(client).ensure_fetch(DAY, waiting=TWO)
    assert refused.value.retry_after == 30.0
