"""Rows of Supabase's responses with distinct values, and their form in the API."""

from datetime import UTC, datetime
from typing import Any

ID, OTHER, THIRD = (f"0193f2b0-0000-7000-8000-00000000000{n}" for n in "abc")
DAY = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MOMENT = "2026-03-04T05:06:07Z"
LATER = "2026-03-04T05:06:08Z"

TASK: dict[str, Any] = {
    "task_id": ID,
    "owner": "ada",
    "kind": "digest",
    "status": "running",
    "run_at": "2026-03-04T05:06:09Z",
    "error": "the model said nothing",
    "message": "ranking",
    "progress": 0.25,
    "source_date": "2026-03-04",
    "parent": OTHER,
    "reader_id": THIRD,
    "local_day": "2026-03-05",
    "attempt": 2,
    "max_attempts": 5,
    "cancel_requested": True,
    "created_at": MOMENT,
    "started_at": "2026-03-04T05:06:10Z",
    "updated_at": LATER,
    "finished_at": None,
}
DELIVERY: dict[str, Any] = {
    "delivery_id": ID,
    "owner": "ada",
    "reader_id": THIRD,
    "kind": "digest",
    "local_day": "2026-03-05",
    "digest_id": OTHER,
    "task_id": ID,
    "status": "sent",
    "reason": "because",
    "provider_id": "p-1",
    "resolved_by": "root",
    "created_at": MOMENT,
    "begun_at": LATER,
    "ended_at": "2026-03-04T05:06:09Z",
}
PAUSE: dict[str, Any] = {"kind": "fetch", "started_at": MOMENT, "ended_at": LATER, "actor": "root", "reason": "because"}
HEALTH: dict[str, Any] = {
    "at": MOMENT,
    "schema_version": 8,
    "kinds": [{"kind": "fetch", "oldest_seconds": None, "paused": None}],
    "workers": [{"host": "one", "last_seen_seconds": 1.5, "lease_seconds": 60.0, "not_configured": {}}],
    "sources": [{"name": "arxiv", "failing_since": None, "error": None}],
    "deliveries": {"paused": None, "in_doubt": 0, "completed": 0, "failed": 0, "error": None},
    "model": {"calls": 0, "failures": 0, "blocked": None, "fallbacks": []},
    "delivery_rate": None,
    "overdue_readers": 0,
    "refused_libraries": 0,
    "unfinished_erasures": 0,
}
OVERVIEW: dict[str, Any] = {
    "at": MOMENT,
    "health": HEALTH,
    "kinds": [],
    "task_stats": {"since": MOMENT, "step_seconds": 60, "kinds": []},
    "workers": [],
    "circuit_breakers": [],
    "sources": [],
    "failed_tasks": [],
    "deliveries": {"paused": "moved", "pending": 1, "sending": 2, "in_doubt": 3, "latest_in_doubt": [DELIVERY]},
    "readers": [],
    "model_usage_today": {
        "calls": 4,
        "failures": 5,
        "input_tokens": 6,
        "output_tokens": 7,
        "fallbacks": [{"reason": "busy", "items": 8}],
    },
}


PLURAL = {
    "digest": "digests",
    "fetch": "fetches",
    "callback": "callbacks",
    "delivery": "deliveries",
    "import": "imports",
}


def shown(task: dict[str, Any]) -> dict[str, Any]:
    """The response of a route that shows a task."""
    return task | {"url": f"/v1/{PLURAL[task['kind']]}/{task['task_id']}"}


EDITION: dict[str, Any] = {
    "source_date": "2026-03-04",
    "status": "partial",
    "counts": {"arxiv": 3},
    "errors": {"news": "404"},
    "complete": False,
    "complete_from": MOMENT,
    "fetched_at": LATER,
    "created_at": MOMENT,
    "updated_at": LATER,
}
READER: dict[str, Any] = {
    "reader_id": ID,
    "owner": "eve",
    "external_id": "ada-1",
    "user_id": OTHER,
    "name": "Ada",
    "email": "ada@example.org",
    "profile": {
        "title": "Engineer",
        "goals": "Keep up",
        "interests": ["ice"],
        "exclude": ["hype"],
        "authors": ["E. Noether"],
        "categories": ["cs.LG"],
        "language": "de",
        "max_papers": 3,
        "max_news": 4,
    },
    "timezone": "Europe/Berlin",
    "send_at": "07:05:00",
    "weekdays": [1, 3],
    "when_empty": "notify",
    "status": "paused",
    "status_reason": "away",
    "next_due_at": "2026-03-05T06:05:00Z",
    "schedule_problem": "none",
    "created_at": MOMENT,
    "updated_at": LATER,
}
LINE = {name: value for name, value in READER.items() if name != "owner"} | {"send_at": "07:05"}
"""The reader as its caller sees it."""

PAPER: dict[str, Any] = {
    "paper_id": OTHER,
    "kind": "paper",
    "title": "Of storms",
    "abstract": "They blow.",
    "authors": ["A. B."],
    "url": "https://example.org/storms",
    "published_at": "2026-03-01T00:00:00Z",
    "arxiv_id": "2611.00001",
    "doi": "10.1038/x",
    "publication": None,
    "origin": "manual",
    "liked": True,
    "rated_at": LATER,
    "saved_at": "2026-03-04T05:06:09Z",
    "created_at": MOMENT,
}
