"""Every route of the OpenAPI document with another caller's key reveals nothing and changes nothing."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.api.auth import Caller
from tests.contract.callers import NAMES, key_of
from tests.contract.world import BODIES, SECRET, World
from tests.support.tasks import everything

FOREIGN, OPERATORS, OWN, SHARED = "the same 404 as an unknown id", "403", "one's own alone", "for all"

IDS = ("task_id", "reader_id", "delivery_id")
RULES = {
    "POST /v1/digests": OWN,
    "POST /v1/digests/batch": OWN,
    "GET /v1/digests/{task_id}": FOREIGN,
    "GET /v1/digests/{task_id}/html": FOREIGN,
    "GET /v1/digests/{task_id}/events": FOREIGN,
    "POST /v1/digests/{task_id}/cancel": FOREIGN,
    "POST /v1/fetches": OWN,
    "GET /v1/fetches/{task_id}": FOREIGN,
    "GET /v1/fetches/{task_id}/events": FOREIGN,
    "POST /v1/fetches/{task_id}/cancel": FOREIGN,
    "GET /v1/callbacks/{task_id}": FOREIGN,
    "GET /v1/imports/{task_id}": FOREIGN,
    "GET /v1/imports/{task_id}/events": FOREIGN,
    "POST /v1/imports/{task_id}/cancel": FOREIGN,
    "GET /v1/tasks": OWN,
    "POST /v1/readers": OWN,
    "GET /v1/readers": OWN,
    "POST /v1/readers/import": OWN,
    "GET /v1/readers/export": OWN,
    "GET /v1/readers/{reader_id}": FOREIGN,
    "PATCH /v1/readers/{reader_id}": FOREIGN,
    "DELETE /v1/readers/{reader_id}": FOREIGN,
    "POST /v1/readers/{reader_id}/revoke-links": FOREIGN,
    "POST /v1/readers/{reader_id}/resend-confirmation": FOREIGN,
    "GET /v1/readers/{reader_id}/saved.bib": FOREIGN,
    "GET /v1/readers/{reader_id}/saved.ris": FOREIGN,
    "POST /v1/readers/{reader_id}/papers": FOREIGN,
    "GET /v1/readers/{reader_id}/papers": FOREIGN,
    "DELETE /v1/readers/{reader_id}/papers/{paper_id}": FOREIGN,
    "PUT /v1/readers/{reader_id}/library": FOREIGN,
    "GET /v1/readers/{reader_id}/library": FOREIGN,
    "DELETE /v1/readers/{reader_id}/library": FOREIGN,
    "GET /v1/deliveries": OWN,
    "GET /v1/deliveries/{delivery_id}": FOREIGN,
    "GET /v1/deliveries/pause": SHARED,
    "POST /v1/deliveries/pause": OPERATORS,
    "POST /v1/deliveries/resume": OPERATORS,
    "POST /v1/deliveries/{delivery_id}/resolve": OPERATORS,
    "GET /v1/editions": SHARED,
    "GET /v1/editions/{source_date}": SHARED,
    "GET /healthz": SHARED,
    "GET /readyz": SHARED,
    "GET /metrics": SHARED,
}
"""The rule of each route for other callers; everything under /v1/admin is only for operators."""


async def check(world: World, operation: str) -> None:
    """Call a route as bot with ada's ids. Raises `AssertionError` if it violates its rule."""
    method, path = operation.split()
    rule = OPERATORS if path.startswith("/v1/admin") else RULES[operation]
    theirs = await world.adas_ids()
    target = world.ids.get(path.partition("/{")[0], world.ids["/v1/digests"])
    before = await everything(world.database)
    answer, unknown = [
        await world.callers.bot.request(
            method,
            path.format(
                task_id=task_id,
                reader_id=task_id,
                delivery_id=task_id,
                paper_id=world.paper,
                source_date="2026-03-04",
                kind="fetch",
            ),
            json=BODIES.get(path),
            headers={"Idempotency-Key": path},
        )
        for task_id in (target, str(uuid4()))
    ]
    if rule in {FOREIGN, OPERATORS}:
        assert answer.status_code == (404 if rule == FOREIGN else 403)
        assert without_ids(answer.text) == without_ids(unknown.text)
        assert await everything(world.database) == before
    else:
        assert answer.status_code < 300 or (answer.status_code, rule) == (404, SHARED), answer.text
        assert not [task_id for task_id in theirs if task_id in answer.text], operation
    assert SECRET not in answer.text


def without_ids(text: str) -> str:
    return " ".join("ID" if is_id(word) else word for word in text.replace("/", " ").replace(":", " ").split())


def is_id(word: str) -> bool:
    try:
        UUID(word.strip('",.}'))
    except ValueError:
        return False
    return True


def operations(routes: dict[str, Any]) -> list[str]:
    return [f"{method.upper()} {path}" for path, item in routes.items() for method in item]


async def test_no_route_returns_or_changes_another_callers_data(world: World) -> None:
    found = operations(world.callers.routes)
    assert {each for each in found if " /v1/admin" not in each} == RULES.keys(), "every route has a rule"
    for operation in found:
        await check(world, operation)


async def test_the_check_finds_an_injected_leak(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Caller, "visible_owner", None)
    # Removed objects cannot leak, so removals come last, parts before the whole.
    for operation, rule in sorted(RULES.items(), key=lambda each: (each[0].startswith("DELETE"), -len(each[0]))):
        if rule == FOREIGN:
            # A leaked stream does not end, so a timeout is a leak too.
            with pytest.raises((AssertionError, TimeoutError)):
                async with asyncio.timeout(3):
                    await check(world, operation)


async def test_the_owner_and_an_admin_can_read_everything(world: World) -> None:
    for client in (world.callers.ada, world.callers.root):
        for path in ("/v1/digests", "/v1/fetches", "/v1/callbacks"):
            found = await client.get(f"{path}/{world.ids[path]}")
            assert (found.status_code, found.json()["owner"]) == (200, "ada")
        assert SECRET in (await client.get(f"/v1/digests/{world.ids['/v1/digests']}/html")).text
    listed = (await world.callers.root.get("/v1/tasks", params={"owner": "ada"})).json()["tasks"]
    assert listed == (await world.callers.ada.get("/v1/tasks")).json()["tasks"]
    assert (await world.callers.root.get("/v1/tasks", params={"owner": "bot"})).json()["tasks"] == []
    assert (await world.callers.bot.get("/v1/tasks", params={"owner": "ada"})).status_code == 403


async def test_a_callback_contains_its_parent_and_its_own_address(world: World) -> None:
    path = f"/v1/callbacks/{world.ids['/v1/callbacks']}"
    found = (await world.callers.ada.get(path)).json()
    assert (found["url"], found["parent"]) == (path, world.ids["/v1/digests"])


async def test_an_admins_cancel_of_a_callers_task_is_recorded(world: World) -> None:
    path = f"/v1/fetches/{world.ids['/v1/fetches']}/cancel"
    assert (await world.callers.root.post(path)).json()["status"] == "cancelled"
    (entry,) = (await world.callers.root.get("/v1/admin/audit")).json()["entries"]
    assert (entry["actor"], entry["action"], entry["details"]) == (
        "root",
        "cancel",
        {"task_id": world.ids["/v1/fetches"]},
    )


async def test_metrics_and_log_contain_names_but_no_keys(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    await world.callers.bot.get("/v1/tasks")
    text = (await world.callers.root.get("/metrics")).text
    assert 'broadsheet_caller_requests_total{caller="ada",status="202"}' in text
    log = capsys.readouterr().out
    assert "caller=bot" in log
    assert not [name for name in NAMES if key_of(name) in text + log]
