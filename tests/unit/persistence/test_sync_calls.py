"""A worker's sync call and its response."""

from datetime import date, timedelta
from typing import Any

import pytest
import respx
from structlog.testing import capture_logs
from supabase import AsyncClient

from app.models.tasks import TaskKind, TaskStatus
from app.persistence.outcomes import Cancelled, Completed, Failed, Lease, Outcome, Released, Snoozed, to_row
from app.persistence.queue import ClaimedTask, Progress, RejectedOutcome, SyncResponse, TaskQueue
from tests.support.persistence_requests import sent
from tests.support.requests import ONE, TWO

LEASE = Lease(ONE, TWO)
NAMED = {"task_id": str(ONE), "lease_token": str(TWO)}
LONG = "x" * 1999 + "\0" + "yz"
TRUNCATED = "x" * 1999 + "y"
KINDS = [TaskKind.DIGEST, TaskKind.FETCH]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ROW = [str(ONE), "digest", 2, 5, 1.5, "2026-01-02", {"a": 1}, TRACE]
READ = ClaimedTask(LEASE, TaskKind.DIGEST, 2, 5, timedelta(seconds=1.5), date(2026, 1, 2), {"a": 1}, TRACE)


def queue_of(client: AsyncClient, **options: Any) -> TaskQueue:
    return TaskQueue(client, worker_id=ONE, kinds=KINDS, lease=timedelta(minutes=1), **options)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Completed({"a": "b\0"}), {"result": {"a": "b"}}),
        (Completed({}, {"introduction": "\0"}), {"result": {}, "digest": {"introduction": ""}}),
        (Failed(LONG, None), {"outcome": "failed", "error": TRUNCATED, "permanent": True, "delay_seconds": None}),
        (Failed("no", timedelta(0)), {"outcome": "failed", "error": "no", "permanent": False, "delay_seconds": 0.0}),
        (Snoozed(timedelta(minutes=1), LONG),
         {"outcome": "snoozed", "error": TRUNCATED, "delay_seconds": 60.0, "waits_for": None}),
        (Snoozed(timedelta(0), "", TWO),
         {"outcome": "snoozed", "error": "", "delay_seconds": 0.0, "waits_for": str(TWO)}),
        (Released(), {"outcome": "released"}),
        (Cancelled(), {"outcome": "cancelled"}),
        (Completed({"a": object()}),
         {"outcome": "failed", "error": "the result cannot be written as JSON: it contains a object", "permanent": True,
          "delay_seconds": None}),
    ],
)  # fmt: skip
def test_the_row_of_each_outcome(outcome: Outcome, expected: dict[str, Any]) -> None:
    assert to_row(LEASE, outcome) == NAMED | expected


def test_an_outcome_that_cannot_be_encoded_is_a_failure() -> None:
    with capture_logs() as logs:
        expected = to_row(LEASE, Failed(3, None))  # type: ignore[arg-type]  # (a handler's mistake)
    reason = "the outcome cannot be stored: AttributeError"
    assert expected == NAMED | {"outcome": "failed", "error": reason, "permanent": True, "delay_seconds": None}
    (record,) = logs
    assert (record["event"], record["log_level"]) == ("outcome cannot be stored", "error")
    assert (record["outcome"], record["exc_info"]) == ("Failed", True)


async def test_every_part_of_a_call_is_sent(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/sync_worker").respond(200, json={"number": 2, "token": str(TWO), "response": {}, "claimed": []})
    queue = queue_of(client, host="h", version="v")
    assert queue.prepare(outcomes={}, slots=0).number == 1
    call = queue.prepare(
        outcomes={LEASE: Completed({}), Lease(TWO, ONE): Released()},
        slots=4,
        kind_slots={TaskKind.FETCH: 1, TaskKind.DIGEST: 9},
        progress={LEASE: Progress(LONG, 1.5), Lease(TWO, ONE): Progress("", -1.0)},
    )
    await queue.sync(call)
    expected = {
        "p_worker": str(ONE), "p_number": 2, "p_lease_seconds": 60.0, "p_kinds": ["digest", "fetch"],
        "p_limits": [4, 1], "p_slots": 4, "p_completed": [NAMED | {"result": {}}],
        "p_outcomes": [{"task_id": str(TWO), "lease_token": str(ONE), "outcome": "released"}],
        "p_progress": [NAMED | {"message": TRUNCATED, "progress": 1.0},
                       {"task_id": str(TWO), "lease_token": str(ONE), "message": "", "progress": 0.0}],
        "p_host": "h", "p_version": "v",
    }  # fmt: skip
    assert sent(router)[2] == expected
    assert queue.without_claims(call).parameters == expected | {"p_slots": 0, "p_number": 3}
    assert queue.prepare(outcomes={}, slots=0).number == 4


async def test_a_call_with_defaults(client: AsyncClient) -> None:
    assert queue_of(client).prepare(outcomes={}, slots=2).parameters == {
        "p_worker": str(ONE), "p_number": 1, "p_lease_seconds": 60.0, "p_kinds": ["digest", "fetch"],
        "p_limits": [2, 2], "p_slots": 2, "p_completed": [], "p_outcomes": [], "p_progress": [], "p_host": None,
        "p_version": None,
    }  # fmt: skip


async def answered(
    client: AsyncClient, router: respx.Router, expected: dict[str, Any], claimed: list[Any]
) -> SyncResponse:
    answer = {"number": 7, "token": str(TWO), "response": expected, "claimed": claimed}
    router.post("/rpc/sync_worker").respond(200, json=answer)
    queue = queue_of(client)
    return await queue.sync(queue.prepare(outcomes={}, slots=1))


async def test_every_part_of_a_response_is_read(client: AsyncClient, router: respx.Router) -> None:
    expected = {
        "outcomes": [{"task_id": str(ONE), "verdict": "lost", "status": "failed"}], "cancel": [[str(ONE), str(TWO)]],
        "leases": [[str(TWO), str(ONE)]], "next_task_seconds": 2.5, "outdated": True,
    }  # fmt: skip
    assert await answered(client, router, expected, [ROW]) == SyncResponse(
        7, (READ,), (RejectedOutcome(ONE, "lost", TaskStatus.FAILED),), (LEASE,), (Lease(TWO, ONE),), 2.5, outdated=True
    )


@pytest.mark.parametrize(
    ("odd", "named"),
    [
        ([str(TWO), "another kind", 1, 5, 0, None, {}], (Lease(TWO, TWO),)),
        ([str(TWO)], (Lease(TWO, TWO),)),
        (["no id", "fetch", 1, 5, 0, None, {}], ()),
        ([], ()),
        (None, ()),
    ],
)
async def test_an_unreadable_row_does_not_affect_the_others(
    odd: object, named: tuple[Lease, ...], client: AsyncClient, router: respx.Router
) -> None:
    answer = await answered(client, router, {}, [odd, ROW, ROW])
    assert answer == SyncResponse(7, claimed=(READ, READ), unreadable=named)


async def test_a_failed_sync_names_the_worker(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/sync_worker").respond(200, text="null")
    with pytest.raises(Exception, match="unreadable response"):
        await queue_of(client).sync(queue_of(client).prepare(outcomes={}, slots=1))
    router.post("/rpc/sync_worker").respond(503, text="<p>")
    with pytest.raises(Exception, match=f"Could not sync worker {ONE}, call 1: "):
        await queue_of(client).sync(queue_of(client).prepare(outcomes={}, slots=1))
