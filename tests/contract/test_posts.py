"""Which posts are valid and how repeated posts are compared, also when the default day has changed meanwhile."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, tzinfo
from typing import Any

import httpx
import pytest

from app import days
from app.config import ApiSettings
from embedded.stack import Ready
from tests.support.applications import application
from tests.support.processes import API_KEY

PROFILE = {"name": "Ada", "interests": ["ice"]}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/digests": {"profile": PROFILE, "max_papers": 3},
    "/v1/fetches": {"callback_url": "https://example.com/hook"},
}


class Clock(datetime):
    """The API's clock, set by the test."""

    moment = datetime(2026, 3, 4, 23, 59, 59, tzinfo=UTC)

    @classmethod
    def now(cls, _zone: tzinfo | None = None) -> Any:
        return cls.moment


@pytest.fixture
async def api(
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[httpx.AsyncClient]:
    """The application on the emulator, called without a network, a second before midnight UTC."""
    values = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": API_KEY}
    settings = ApiSettings.model_validate(values | {"webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
    monkeypatch.setattr(days, "datetime", Clock)
    monkeypatch.setattr(Clock, "moment", Clock.moment)
    with application(settings) as app:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            headers = {"X-API-Key": API_KEY, "Idempotency-Key": "once"}
            async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
                yield client


@pytest.mark.parametrize("path", BODIES)
async def test_a_post_repeated_after_midnight_gets_its_task(path: str, api: httpx.AsyncClient) -> None:
    first = await api.post(path, json=BODIES[path])
    Clock.moment = datetime(2026, 3, 5, 0, 0, 1, tzinfo=UTC)
    again = await api.post(path, json=BODIES[path])
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["task_id"] == first.json()["task_id"]
    assert again.json()["source_date"] == first.json()["source_date"] == "2026-03-03"
    fresh = await api.post(path, json=BODIES[path], headers={"Idempotency-Key": "another"})
    assert fresh.json()["source_date"] == "2026-03-04", "the default did not use the test's clock"


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "change",
    [{"source_date": "2026-03-03"}, {"callback_url": "https://example.com/other"}],
    ids=lambda c: next(iter(c)),
)
async def test_another_body_is_refused(path: str, change: dict[str, str], api: httpx.AsyncClient) -> None:
    await api.post(path, json=BODIES[path])
    refused = await api.post(path, json=BODIES[path] | change)
    assert (refused.status_code, refused.json()["title"]) == (422, "Idempotency key reused")


async def test_bodies_that_differ_only_in_form_are_the_same(api: httpx.AsyncClient) -> None:
    first = await api.post("/v1/digests", json={"profile": PROFILE, "source_date": "2026-03-01"})
    headers = {"Content-Type": "application/json"}
    text = '{"source_date":"2026-03-01", "profile": {"interests": [" ice "], "name": "Ada\\u0020"}}'
    again = await api.post("/v1/digests", content=text, headers=headers)
    assert again.json()["task_id"] == first.json()["task_id"]


async def test_a_name_of_only_nul_is_refused_with_a_reason(api: httpx.AsyncClient) -> None:
    for name in ("\0", "\0 \0", " \0\0"):
        for profile in ({"name": name}, {"name": "Ada", "interests": ["ice", name]}):
            refused = await api.post("/v1/digests", json={"profile": profile})
            assert refused.status_code == 422
            assert "NUL" in refused.text
    assert (await api.post("/v1/digests", json={"profile": {"name": "A\0da"}})).status_code == 202


async def test_an_unknown_field_of_a_post_is_refused(api: httpx.AsyncClient) -> None:
    for body in ({"profile": PROFILE | {"intrests": []}}, {"profile": PROFILE, "max_paper": 1}):
        assert (await api.post("/v1/digests", json=body)).status_code == 422
