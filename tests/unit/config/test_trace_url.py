"""TRACE_URL: the page of a trace, with a place for its id."""

import pytest

from app.config import ApiSettings, load_settings
from app.errors import ConfigurationError


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
    monkeypatch.setenv("SUPABASE_URL", "https://abc.supabase.co")
    monkeypatch.setenv("SUPABASE_KEY", "sb_secret_abc")
    monkeypatch.setenv("API_KEYS", "0123456789abcdef")


@pytest.mark.parametrize("url", ["https://t.example.org/{trace_id}", "http://localhost:16686/trace/{trace_id}?a=b"])
def test_a_trace_url_has_a_place_for_the_id(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACE_URL", url)
    assert load_settings(ApiSettings).trace_url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://t.example.org/",
        "https://t.example.org/{trace_id}/{trace_id}",
        "https://t.example.org/{id}?{trace_id}",
        "https://{trace_id}.example.org/",
        "javascript:alert('{trace_id}')",
        "{trace_id}",
    ],
)
def test_another_trace_url_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACE_URL", url)
    with pytest.raises(ConfigurationError, match=r"TRACE_URL is .*\. Expected: the page of a trace, with \{trace_id\}"):
        load_settings(ApiSettings)
