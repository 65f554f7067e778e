"""Requests of the persistence layer to Supabase."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import respx

TASK = UUID("00000000-0000-4000-8000-00000000000a")


MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)


RECORD: dict[str, Any] = {
    "task_id": str(TASK),
    "kind": "fetch",
    "status": "pending",
    "run_at": MOMENT.isoformat(),
    "max_attempts": 5,
    "created_at": MOMENT.isoformat(),
    "updated_at": MOMENT.isoformat(),
}


def sent(router: respx.Router) -> tuple[str, dict[str, str], Any]:
    request = router.calls.last.request
    body = json.loads(request.content) if request.content else None
    return request.url.path, dict(request.url.params), body
