"""Every query parameter of every route, with values that match another caller's objects, reveals none of them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from uuid import UUID

import httpx
import pytest

from app.api.auth import Caller
from app.persistence.paging import encode_cursor
from tests.contract.world import SECRET, World

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
BEGIN = encode_cursor(datetime(2100, 1, 1, tzinfo=UTC), LAST_ID)
"""A cursor before the first row of a list that is sorted newest first."""

FOR_ALL = ("/v1/editions", "/v1/admin")
"""Editions are shared by all callers, and /v1/admin is only for admins (`test_isolation`)."""

Values = dict[str, dict[str, list[str]]]
"""The tested values for each query parameter of each GET route."""


def values(world: World) -> Values:
    """Values with which an admin finds ada's objects."""
    return {
        "/v1/digests/{task_id}": {"include": ["result"]},
        "/v1/tasks": {
            "owner": ["ada", "bot"],
            "kind": ["digest", "fetch", "callback"],
            "status": ["pending", "completed"],
            "source_date": ["2026-03-04"],
            "limit": ["100"],
            "cursor": [BEGIN],
        },
        "/v1/readers": {
            "status": ["active"],
            "external_id": ["ada"],
            "limit": ["100"],
            "cursor": [str(FIRST_ID)],
        },
        "/v1/readers/{reader_id}/papers": {"saved": ["false", "true"], "limit": ["100"], "cursor": [BEGIN]},
        "/v1/deliveries": {
            "status": ["pending"],
            "reader_id": [world.ids["/v1/readers"]],
            "limit": ["100"],
            "cursor": [BEGIN],
        },
    }


def documented(world: World) -> dict[str, set[str]]:
    """The query parameters of the GET routes in the OpenAPI document."""
    found = {
        path: {each["name"] for each in item["get"].get("parameters", []) if each["in"] == "query"}
        for path, item in world.callers.routes.items()
        if "get" in item and not path.startswith(FOR_ALL)
    }
    return {path: names for path, names in found.items() if names}


def combinations(tried: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    """Each parameter alone, then all together."""
    for name, each in tried.items():
        yield from ({name: value} for value in each)
    for together in product(*tried.values()):
        yield dict(zip(tried, together, strict=True))


async def adas(world: World) -> list[str]:
    """Texts that must not occur in a response to another caller: ada's ids and her reader's name."""
    return [SECRET, *await world.adas_ids(), world.ids["/v1/readers"], world.ids["/v1/deliveries"]]


async def read(client: httpx.AsyncClient, world: World, path: str, parameters: dict[str, str]) -> httpx.Response:
    ids = {"task_id": world.ids["/v1/digests"], "reader_id": world.ids["/v1/readers"]}
    return await client.get(path.format(**ids), params=parameters)


async def check(world: World, routes: Values) -> None:
    """Call these routes as bot. Raises `AssertionError` if one reveals ada's objects."""
    secrets = await adas(world)
    for path, tried in routes.items():
        for parameters in combinations(tried):
            response = await read(world.callers.bot, world, path, parameters)
            if response.status_code != httpx.codes.OK:
                refused = 403 if parameters.get("owner") == "ada" else 404
                assert response.status_code == refused, (path, parameters)
                continue
            assert not [each for each in secrets if each in response.text], (path, parameters)


async def test_no_parameter_returns_another_callers_data(world: World) -> None:
    assert {path: set(tried) for path, tried in values(world).items()} == documented(world), "each parameter has values"
    await check(world, values(world))


async def test_an_admin_finds_the_data_by_each_of_these_values(world: World) -> None:
    """Proves that the check above would find a leak of each route."""
    secrets = await adas(world)
    lists = {path: tried for path, tried in values(world).items() if not path.endswith("{task_id}")}
    for path, tried in lists.items():
        found: set[tuple[str, str]] = set()
        for parameters in combinations(tried):
            response = await read(world.callers.root, world, path, parameters)
            assert response.status_code == httpx.codes.OK, (path, parameters, response.text)
            if any(each in response.text for each in secrets):
                found |= set(parameters.items())
        missed = {(name, value) for name, each in tried.items() for value in each} - found
        assert missed <= {("owner", "bot"), ("saved", "true")}, path


@pytest.mark.parametrize("path", ["/v1/readers", "/v1/readers/{reader_id}/papers", "/v1/deliveries"])
async def test_the_check_finds_a_leak(path: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Caller, "visible_owner", None)
    with pytest.raises(AssertionError, match=r"assert not \["):
        await check(world, {path: values(world)[path]})
