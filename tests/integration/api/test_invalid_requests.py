"""An invalid request is refused before the database is called."""

import base64
import json
from typing import Any

import httpx
import pytest

from app.config import ApiSettings
from tests.support.processes import WEBHOOK_SECRET
from tests.support.running_api import KEY, RunningApi

ADA: dict[str, Any] = {"name": "Ada"}


@pytest.fixture
def settings(settings: ApiSettings) -> ApiSettings:
    return ApiSettings.model_validate(settings.model_dump() | {"webhook_secret": WEBHOOK_SECRET})


async def post(api: RunningApi, path: str, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False) as http:
        return await http.post(path, json=body, headers={"X-API-Key": KEY})


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://receiver.example/\0", "not a valid URL"),
        ("http://receiver.example/", "not https"),
        ("https://10.0.0.1/", "not public"),
        (f"https://{'a' * 64}.example/", "not a valid host name"),
        ("https://me:secret@receiver.example/", "user name or password"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/digests", "/v1/fetches"])
async def test_an_uncallable_callback_is_refused_with_the_reason(
    path: str, url: str, reason: str, api: RunningApi
) -> None:
    body = {"callback_url": url} | ({"profile": ADA} if path == "/v1/digests" else {})
    answer = await post(api, path, body)
    assert (answer.status_code, answer.json()["title"]) == (422, "Callback address refused")
    assert reason in answer.json()["detail"]
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("profile", "location"),
    [
        ({"name": "\0\0"}, "body.profile.name"),
        ({"name": " \0 "}, "body.profile.name"),
        ({"name": "Ada", "interests": ["graphs", "\0"]}, "body.profile.interests.1"),
    ],
)
async def test_a_text_of_zero_bytes_is_refused(profile: dict[str, Any], location: str, api: RunningApi) -> None:
    answer = await post(api, "/v1/digests", {"profile": profile})
    assert answer.status_code == 422
    assert [error["location"] for error in answer.json()["errors"]] == [location]


@pytest.mark.parametrize("moment", ["2026-11-22T00:00:00", "2026-11-22T00:00:00+16:00", "2026-11-22T00:00:00-23:59"])
async def test_a_cursor_with_an_invalid_time_zone_is_refused(moment: str, api: RunningApi) -> None:
    text = json.dumps([moment, "00000000-0000-4000-8000-000000000000"])
    cursor = base64.urlsafe_b64encode(text.encode()).decode()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False) as http:
        answer = await http.get("/v1/tasks", params={"cursor": cursor}, headers={"X-API-Key": KEY})
    assert (answer.status_code, answer.json()["title"]) == (400, "Invalid cursor")
