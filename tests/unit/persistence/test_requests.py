"""The requests of each method below the real client, and a task manager with a fake client."""

import base64
import json
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
import respx
from supabase import AsyncClient

from app.errors import InvalidCursor, LeaseLost, SupabaseUnavailable, TaskNotFound
from app.models.articles import Article, ArticleKind
from app.models.tasks import TaskKind, TaskStatus
from app.persistence.deliveries import Deliveries
from app.persistence.editions import Editions
from app.persistence.idempotency_keys import CallerKey, OwnKey
from app.persistence.operator import Actor, Operator
from app.persistence.outcomes import Completed, Lease
from app.persistence.queue import TaskQueue
from app.persistence.tasks import TaskStateManager
from tests.support.persistence_requests import MOMENT, RECORD, TASK, sent

TOKEN = UUID("00000000-0000-4000-8000-0000000000aa")


async def test_a_poll_reads_neither_payload_nor_result(client: AsyncClient, router: respx.Router) -> None:
    router.get("/task_records").respond(200, json=[RECORD])
    assert (await TaskStateManager(client).get_task(TASK)).status is TaskStatus.PENDING
    path, parameters, _ = sent(router)
    assert path == "/rest/v1/task_records"
    assert parameters == {"select": "*", "task_id": f"eq.{TASK}", "limit": "1"}


@pytest.mark.parametrize(
    ("key", "stored", "take_over"),
    [(CallerKey("k"), "caller:k", False), (OwnKey("fetch:d"), "own:fetch:d", True), (None, None, False)],
)
async def test_creating_is_one_call_with_delays_and_no_timestamps(
    key: CallerKey | OwnKey | None, stored: str | None, take_over: bool, client: AsyncClient, router: respx.Router
) -> None:
    router.post("/rpc/create_tasks").respond(200, json={"outcome": "created", "created_at": MOMENT.isoformat()})
    made = await TaskStateManager(client).create_task_with_source_date(
        task_id=TASK,
        kind=TaskKind.FETCH,
        payload={"t": "a\0b"},
        source_date=date(2026, 1, 2),
        delay=timedelta(minutes=1),
        idempotency_key=key,
    )
    path, _, body = sent(router)
    assert path == "/rest/v1/rpc/create_tasks"
    (row,) = body["p_tasks"]
    assert (row["idempotency_key"], body["p_replace_ended"]) == (stored, take_over)
    assert (row["delay_seconds"], row["payload"]) == (60.0, {"t": "ab"})
    assert (made.status, made.created_at, made.run_at) == (TaskStatus.PENDING, MOMENT, MOMENT + timedelta(minutes=1))
    assert len(router.calls) == 1


async def test_progress_under_a_lost_lease_is_refused(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/report_progress").respond(200, json=False)
    with pytest.raises(LeaseLost, match=str(TASK)):
        await TaskStateManager(client).update_task(TASK, lease_token=TOKEN, message="m", progress=0.5)
    assert sent(router)[2] == {
        "p_task_id": str(TASK),
        "p_lease_token": str(TOKEN),
        "p_message": "m",
        "p_progress": 0.5,
    }


async def test_a_page_requests_one_row_more_than_it_returns(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/list_tasks").respond(200, json=[RECORD, RECORD])
    page = await TaskStateManager(client).list_tasks(kind=TaskKind.FETCH, limit=1)
    sent_body = sent(router)[2]
    assert (len(page.tasks), sent_body["p_limit"], sent_body["p_kind"], sent_body["p_before"]) == (1, 2, "fetch", None)
    await TaskStateManager(client).list_tasks(limit=1, cursor=page.next_cursor)
    sent_body = sent(router)[2]
    assert (sent_body["p_before"], sent_body["p_before_id"]) == (MOMENT.isoformat(), str(TASK))


@pytest.mark.parametrize("cursor", ["", "garbage", "e30=", "WyIyMDI2IiwgMV0=", "ü"])
async def test_an_invalid_cursor_is_refused(cursor: str, client: AsyncClient) -> None:
    with pytest.raises(InvalidCursor, match="omit it to get the first page"):
        await TaskStateManager(client).list_tasks(cursor=cursor)


@pytest.mark.parametrize(
    "moment",
    ["2026-01-01T00:00:00+16:00", "2026-01-01T00:00:00-23:59", "2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59"],
)
async def test_a_cursor_with_a_changed_time_zone_is_refused(moment: str, client: AsyncClient) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps([moment, str(TASK)]).encode()).decode()
    with pytest.raises(InvalidCursor, match="omit it to get the first page"):
        await TaskStateManager(client).list_tasks(cursor=cursor)


async def test_a_cursor_is_in_utc_for_any_database_time_zone(client: AsyncClient, router: respx.Router) -> None:
    row = RECORD | {"created_at": "2026-01-02T08:34:05+05:30"}
    router.post("/rpc/list_tasks").respond(200, json=[row, row])
    page = await TaskStateManager(client).list_tasks(limit=1)
    await TaskStateManager(client).list_tasks(limit=1, cursor=page.next_cursor)
    assert sent(router)[2]["p_before"] == "2026-01-02T03:04:05+00:00"


async def test_a_repeated_sync_call_has_the_same_bytes(client: AsyncClient, router: respx.Router) -> None:
    answer = {"number": 1, "token": str(TOKEN), "response": {}, "claimed": []}
    route = router.post("/rpc/sync_worker").mock(side_effect=[httpx.Response(503), httpx.Response(200, json=answer)])
    queue = TaskQueue(client, worker_id=TOKEN, kinds=[TaskKind.FETCH], lease=timedelta(seconds=30))
    call = queue.prepare(outcomes={Lease(TASK, TOKEN): Completed({"x": 1})}, slots=3)
    with pytest.raises(SupabaseUnavailable):
        await queue.sync(call)
    await queue.sync(call)
    first, second = (made.request.content for made in route.calls)
    assert first == second
    assert json.loads(first)["p_number"] == 1
    assert queue.prepare(outcomes={}, slots=0).number == 2


async def test_articles_are_sent_sorted_and_once(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/save_articles").respond(204)
    names = ["b", "a", "c", "a"]
    articles = [Article(source="arxiv", external_id=name, kind=ArticleKind.PAPER, title=name) for name in names]
    await Editions(client).save_articles(date(2026, 1, 2), articles)
    _, _, body = sent(router)
    assert [row["external_id"] for row in body["p_articles"]] == ["a", "b", "c"]
    assert body["p_source_date"] == "2026-01-02"


class FakeClient:
    """All that TaskStateManager needs of a client to read one task."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_arguments, **_options: self

    async def execute(self) -> SimpleNamespace:
        return SimpleNamespace(data=self.rows)


async def test_a_fake_client_of_a_few_lines_suffices() -> None:
    assert (await TaskStateManager(cast(AsyncClient, FakeClient([RECORD]))).get_task(TASK)).task_id == TASK
    with pytest.raises(TaskNotFound):
        await TaskStateManager(cast(AsyncClient, FakeClient([]))).get_task(TASK)


async def test_a_read_of_a_task_does_not_change_the_next(client: AsyncClient, router: respx.Router) -> None:
    router.get("/task_records").respond(200, json=[RECORD])
    tasks, other = TaskStateManager(client), uuid4()
    for task_id, owner in [(TASK, "web"), (other, None)]:
        await tasks.get_task(task_id, owner=owner)
    parameters = [call.request.url.params.multi_items() for call in router.calls]
    assert parameters == [
        [("select", "*"), ("task_id", f"eq.{TASK}"), ("owner", "eq.web"), ("limit", "1")],
        [("select", "*"), ("task_id", f"eq.{other}"), ("limit", "1")],
    ]


async def test_each_action_on_deliveries_has_its_own_id(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/set_pause_for_operator").respond(204)
    audit_ids = set()
    for _ in range(2):
        await Deliveries(client).pause("restored", by="ada")
        audit_ids.add(UUID(sent(router)[2]["p_audit_id"]))
    assert len(audit_ids) == 2


async def test_a_completed_operator_action_returns_its_task(client: AsyncClient, router: respx.Router) -> None:
    router.route().respond(200, json={"task": RECORD})
    operator, by = Operator(client), Actor(TASK, "ada")
    for act in (operator.replay, operator.redeliver, operator.cancel):
        assert (await act(by, TASK)).task_id == TASK
