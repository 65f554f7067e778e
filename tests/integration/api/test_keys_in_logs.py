"""A refused key is in no log, response or metric, wherever and however it was sent."""

import httpx
import pytest

from app.config import ApiSettings
from tests.support.logs import development_logs
from tests.support.running_api import KEY, RunningApi

WRONG = "a-wrong-key-that-is-nearly-right"


@pytest.fixture(params=["production", "development"])
def detailed(request: pytest.FixtureRequest, settings: ApiSettings) -> ApiSettings:
    """Settings that log everything."""
    return settings.model_copy(update={"environment": request.param, "log_level": "DEBUG"})


def caller(api: RunningApi) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False)


async def test_a_refused_key_is_in_no_log_response_or_metric(
    api: RunningApi, detailed: ApiSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    with development_logs(detailed):
        async with caller(api) as http:
            sent = {"X-API-Key": WRONG}
            responses = [await http.get(path, headers=sent) for path in ("/v1/tasks", "/v1/nowhere", "/metrics")]
            responses += [await http.post("/v1/digests", content=body, headers=sent) for body in ("{", " " * 300_000)]
            metrics = (await http.get("/metrics", headers={"X-API-Key": KEY})).text
    assert [each.status_code for each in responses] == [401] * 5
    printed = "".join(capsys.readouterr())
    assert "401" in printed
    shown = printed + metrics + "".join(each.text + str(each.headers) for each in responses)
    assert (WRONG in shown, WRONG[:8] in shown) == (False, False), "neither the key nor a part of it"


async def test_a_key_is_not_logged_where_operators_sign_in(
    api: RunningApi, detailed: ApiSettings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.pages.ops.sign_in.WRONG_KEY_DELAY", 0.0)
    keys = (WRONG, KEY)  # the second key belongs to a caller who is not an admin
    with development_logs(detailed):
        async with caller(api) as http:
            responses = [await http.post("/ops/sign-in", data={"key": key}) for key in keys]
    printed = "".join(capsys.readouterr())
    assert [each.status_code for each in responses] == [403, 403]
    assert printed.count("sign-in rejected") == 2
    shown = printed + "".join(each.text for each in responses)
    assert not [key for key in keys if key in shown]
