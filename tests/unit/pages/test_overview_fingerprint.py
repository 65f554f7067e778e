"""An open overview is reloaded when one of its parts has changed that no live figure shows, and only then."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import pytest

from app.pages.ops.overview_cache import fingerprint_of
from app.persistence.overview import Overview

NOW: Final = datetime.now(UTC).isoformat()
PAUSE: Final = {"kind": "fetch", "started_at": NOW, "ended_at": None, "actor": "ada", "reason": "arXiv is moving"}


def kind(**changed: Any) -> dict[str, Any]:
    return {"kind": "fetch", "ready": 0, "not_ready": 0, "running": 0, "failed": 0, "oldest_seconds": None} | {
        "pause": PAUSE,
        **changed,
    }


def worker(number: int = 1, **changed: Any) -> dict[str, Any]:
    seen = {"seen_at": NOW, "last_seen_seconds": 1, "alive": True, "running_tasks": 0}
    return {"worker_id": UUID(int=number), "host": "w1", "version": "1", "not_configured": {}, **seen, **changed}


def breaker(state: str) -> dict[str, Any]:
    return {"name": "arxiv", "state": state, "failures": 0, "retry_after": None}


def deliveries(**changed: Any) -> dict[str, Any]:
    return {"paused": None, "pending": 0, "sending": 0, "in_doubt": 0, "latest_in_doubt": [], **changed}


def health(**changed: Any) -> dict[str, Any]:
    facts = {
        "kinds": [],
        "workers": [{"host": "w1", "last_seen_seconds": 1, "lease_seconds": 60}],
        "sources": [],
        "deliveries": {"paused": None, "in_doubt": 0, "completed": 0, "failed": 0, "error": None},
        "model": {"calls": 0, "failures": 0, "blocked": None},
    }
    return {"at": NOW, "schema_version": 10**9, "overdue_readers": 0, **facts, **changed}


def fingerprint(**changed: Any) -> str:
    usage = {"calls": 0, "failures": 0, "input_tokens": 0, "output_tokens": 0}
    parts = {
        "health": health(),
        "kinds": [kind()],
        "task_stats": {"since": NOW, "step_seconds": 180, "kinds": []},
        "workers": [worker()],
        "circuit_breakers": [breaker("closed")],
        "deliveries": deliveries(),
    }
    others = {"sources": [], "failed_tasks": [], "readers": [], "model_usage_today": usage}
    return fingerprint_of(Overview.model_validate({"at": NOW, **parts, **others, **changed}))


@pytest.mark.parametrize(
    "changed",
    [
        {"kinds": [kind(pause=None)]},
        {"kinds": [kind(pause=PAUSE | {"reason": "it moved"})]},
        {"kinds": [kind(pause=PAUSE | {"actor": "eve"})]},
        {"workers": []},
        {"workers": [worker(2)]},
        {"workers": [worker(not_configured={"MAIL_URL": "this worker sends no mails"})]},
        {"circuit_breakers": [breaker("open")]},
        {"deliveries": deliveries(paused="a look first")},
        {"deliveries": deliveries(in_doubt=1)},
        {"health": health(overdue_readers=3)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_changed_part_of_the_page_reloads_it(changed: dict[str, Any]) -> None:
    assert fingerprint(**changed) != fingerprint()


@pytest.mark.parametrize(
    "changed",
    [
        {"kinds": [kind(ready=5, running=1)]},
        {"workers": [worker(running_tasks=4)]},
        {"deliveries": deliveries(sending=2)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_live_figures_do_not_reload_the_page(changed: dict[str, Any]) -> None:
    assert fingerprint(**changed) == fingerprint()
