"""An archived item that the current code cannot read is logged and hides no other item."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
import respx
from structlog.testing import capture_logs
from supabase import AsyncClient

from app.persistence.digests import Digests
from tests.support.requests import AT, MOMENT, ONE

ROW: dict[str, Any] = {
    "local_day": "2026-01-02", "written_at": AT, "kind": "paper", "place": 0,
    "item": {
        "article": {"source": "arxiv", "external_id": "1", "kind": "paper", "title": "T"},
        "score": 0.5, "reason": "r", "summary": "s", "analysis": "extractive",
    },
}  # fmt: skip


async def test_unreadable_items_are_omitted_and_logged(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/newest_items").respond(200, json=[ROW, ROW | {"place": "first"}, ROW | {"place": 1}])
    with capture_logs() as logs:
        found = await Digests(client).newest_items(ONE)
    assert [item.place for item in found] == [0, 1]
    problem = "Input should be a valid integer, unable to parse string as an integer"
    assert logs == [
        {"event": "an archived item cannot be read", "log_level": "warning", "problem": problem, "at": ("place",)}
    ]


@pytest.mark.parametrize(("rows", "written"), [([], None), ([{"task_id": str(ONE), "created_at": AT}], (ONE, MOMENT))])
async def test_the_newest_digest_of_a_reader_or_none(
    rows: list[Any], written: tuple[UUID, datetime] | None, client: AsyncClient, router: respx.Router
) -> None:
    router.get("/digests").respond(200, json=rows)
    found = await Digests(client).newest_digest(ONE)
    assert (found and (found.task_id, found.created_at)) == written
