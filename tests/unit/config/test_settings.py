"""Settings: invalid values are refused, and the message names everything except secrets."""

import base64
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from app.config import ApiSettings, Settings, SupabaseSettings, WorkerSettings, load_settings
from app.config.fetch_times import FetchTimes
from app.errors import ConfigurationError

URL, KEY, API_KEY = "https://abc.supabase.co", "sb_secret_abc", "0123456789abcdef"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
    for field in ApiSettings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)


def test_two_variables_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", URL + "/")
    monkeypatch.setenv("SUPABASE_KEY", KEY)
    settings = load_settings(Settings)
    assert settings.supabase_url == URL
    assert settings.supabase_key.get_secret_value() == KEY


def test_dotenv_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(".env", "w", encoding="utf-8") as file:  # noqa: PTH123  (relative on purpose)
        file.write(f"SUPABASE_URL={URL}\nSUPABASE_KEY={KEY}\nPORT=9000\nUNKNOWN=1\n")
    monkeypatch.setenv("PORT", "9001")
    monkeypatch.setenv("API_KEYS", API_KEY)
    assert load_settings(ApiSettings).port == 9001


def test_one_message_names_every_wrong_variable_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_KEY", "hunter2-is-not-a-key")
    monkeypatch.setenv("SUPABASE_RETRIES", "many")
    monkeypatch.setenv("PORT", "80000")
    monkeypatch.setenv("API_KEYS", f"short,{API_KEY}")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(ApiSettings)
    message = str(caught.value)
    assert "SUPABASE_URL is not set. Expected: the project's URL" in message
    assert "SUPABASE_KEY is set to a secret value" in message
    assert 'SUPABASE_RETRIES is "many"' in message
    assert "Expected: retries of a call, 0 to 10" in message
    assert 'PORT is "80000"' in message
    assert "API_KEYS is set to a secret value" in message
    assert "hunter2" not in message
    assert "short" not in message
    assert API_KEY not in message
    assert ".env.example" in message


@pytest.mark.parametrize("url", ["abc.supabase.co", "ftp://abc", "https://", "postgres://x:y@z/db"])
def test_the_url_must_be_http(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", url)
    monkeypatch.setenv("SUPABASE_KEY", KEY)
    with pytest.raises(ConfigurationError, match=r"SUPABASE_URL is .*\. Expected: the project's URL"):
        load_settings(Settings)


@pytest.mark.parametrize("key", ["sb_secret_abc", "aaa.bbb.ccc"])
def test_both_kinds_of_key_are_accepted(key: str) -> None:
    settings = SupabaseSettings.model_validate({"supabase_url": URL, "supabase_key": key})
    assert key not in repr(settings)


@pytest.mark.parametrize("key", ["sb_publishable_abc", "sb_secret_", "aaa.bbb", "a b.c.d", "spaces in it"])
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="supabase_key"):
        SupabaseSettings.model_validate({"supabase_url": URL, "supabase_key": key})


def test_every_settings_error_says_what_is_expected() -> None:
    assert [name for name, field in ApiSettings.model_fields.items() if not field.description] == []


def test_the_example_names_every_setting_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (Path(__file__).parents[3] / ".env.example").read_text(encoding="utf-8").splitlines()
    shown = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    fields = ApiSettings.model_fields | WorkerSettings.model_fields
    with open(".env", "w", encoding="utf-8") as file:  # noqa: PTH123  (relative on purpose)
        file.writelines(f"{name}={value}\n" for name, value in shown.items() if name != "SUPABASE_KEY")
    monkeypatch.setenv("SUPABASE_KEY", KEY)
    for settings in (SupabaseSettings, ApiSettings, WorkerSettings):
        monkeypatch.setitem(settings.model_config, "env_file", ".env")
    loaded = {settings: load_settings(settings) for settings in (ApiSettings, WorkerSettings)}
    assert shown.keys() == {name.upper() for name in fields}
    for name, field in fields.items():
        if not field.is_required():
            settings = WorkerSettings if name in WorkerSettings.model_fields else ApiSettings
            assert getattr(loaded[settings], name) == field.default, name


def test_several_api_keys_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", URL)
    monkeypatch.setenv("SUPABASE_KEY", KEY)
    monkeypatch.setenv("API_KEYS", f"{API_KEY}, {API_KEY[::-1]},")
    keys = load_settings(ApiSettings).api_keys
    assert [(name, key.get_secret_value()) for name, key in keys] == [("default", API_KEY), ("default", API_KEY[::-1])]


def test_callers_have_names_and_several_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"SUPABASE_URL": URL, "SUPABASE_KEY": KEY, "ADMINS": "ada"}
    for name, value in (values | {"API_KEYS": f"ada:{API_KEY}, bot:{API_KEY[::-1]},ada:with:colon-{API_KEY}"}).items():
        monkeypatch.setenv(name, value)
    settings = load_settings(ApiSettings)
    assert [name for name, _ in settings.api_keys] == ["ada", "bot", "ada"]
    assert settings.api_keys[2][1].get_secret_value() == f"with:colon-{API_KEY}"
    assert settings.admins == ("ada",)


@pytest.mark.parametrize(
    ("keys", "admins", "reason"),
    [
        (f"system:{API_KEY}", "", "'system' is reserved"),
        (f"Ada:{API_KEY}", "", "a caller's name has 1 to 32"),
        (f":{API_KEY}", "", "a caller's name has 1 to 32"),
        (f"{'a' * 33}:{API_KEY}", "", "a caller's name has 1 to 32"),
        ("ada:short", "", "at least 16"),
        (f"ada:{API_KEY},bot:{API_KEY}", "", "a key occurs twice"),
        (f"ada:{API_KEY}", "adam", "ADMINS contains adam"),
    ],
)
def test_invalid_callers_are_refused(keys: str, admins: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"SUPABASE_URL": URL, "SUPABASE_KEY": KEY, "API_KEYS": keys, "ADMINS": admins}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        load_settings(ApiSettings)
    assert API_KEY not in str(caught.value)


SECRET = "whsec_" + base64.b64encode(b"x" * 24).decode()


@pytest.mark.parametrize("settings", [ApiSettings, WorkerSettings])
@pytest.mark.parametrize(
    "secret",
    [
        "whsec_",
        "whsec_abc",
        "hunter2",
        SECRET.removeprefix("whsec_"),
        SECRET + "?",
        f"{SECRET},{SECRET[:-4]}",
        "whsec_é",
    ],
)
def test_an_invalid_signing_secret_stops_both_processes(
    secret: str, settings: type[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"SUPABASE_URL": URL, "SUPABASE_KEY": KEY, "API_KEYS": API_KEY, "WEBHOOK_SECRET": secret}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ConfigurationError, match="WEBHOOK_SECRET is set to a secret value: it is not a Standard Webhooks secret"
    ):
        load_settings(settings)


def test_an_invalid_mail_webhook_secret_stops_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"SUPABASE_URL": URL, "SUPABASE_KEY": KEY, "API_KEYS": API_KEY, "RESEND_WEBHOOK_SECRET": "x" * 40}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="RESEND_WEBHOOK_SECRET is set to a secret value"):
        load_settings(ApiSettings)


def test_every_accepted_secret_can_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = "whsec_" + base64.b64encode(b"y" * 64).decode()
    for name, value in {"SUPABASE_URL": URL, "SUPABASE_KEY": KEY, "WEBHOOK_SECRET": f"{SECRET}, {longest}"}.items():
        monkeypatch.setenv(name, value)
    secrets = [secret.get_secret_value() for secret in load_settings(WorkerSettings).webhook_secret]
    assert secrets == [SECRET, longest]
    assert all(Webhook(secret).sign("id", datetime.now(UTC), "{}").startswith("v1,") for secret in secrets)


def test_a_lease_must_be_longer_than_a_call_with_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", URL)
    monkeypatch.setenv("SUPABASE_KEY", KEY)
    monkeypatch.setenv("LEASE_SECONDS", "59")
    with pytest.raises(ConfigurationError, match=r"LEASE_SECONDS is 59, less than three times SUPABASE_CALL_TIMEOUT"):
        load_settings(WorkerSettings)


@pytest.mark.parametrize(
    "value",
    [
        "06:00Z",
        "06:00+05:00",
        "06:00-00:30",
        "6",
        "21600",
        "06",
        "24:00",
        "0600",
        "06:00;18:00",
        "06:00,7",
        "06:00 Mars/Olympus",
        "06:00 ../../etc/passwd",
        "06:00 America/New_York 18:00",
        "America/New_York",
        ",",
        "never",
        ",".join(["06:00"] * 25),
    ],
)
def test_a_daily_fetch_has_times_of_day(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", URL)
    monkeypatch.setenv("SUPABASE_KEY", KEY)
    monkeypatch.setenv("DAILY_FETCH_AT", value)
    with pytest.raises(ConfigurationError, match=r"DAILY_FETCH_AT is .*\. Expected: times of day at which"):
        load_settings(WorkerSettings)


@pytest.mark.parametrize(
    ("value", "times", "timezone"),
    [
        ("", "00:30,06:30", "America/New_York"),
        ("off", "", "UTC"),
        ("06:00", "06:00", "UTC"),
        ("23:59:59", "23:59:59", "UTC"),
        ("06:00 UTC", "06:00", "UTC"),
        ("06:00,18:30, 23:00", "06:00,18:30,23:00", "UTC"),
        (" 06:00, 18:30 Europe/Berlin ", "06:00,18:30", "Europe/Berlin"),
        ("06:00 America/Argentina/Buenos_Aires", "06:00", "America/Argentina/Buenos_Aires"),
        ("06:00 Etc/GMT+5", "06:00", "Etc/GMT+5"),
    ],
)
def test_a_daily_fetch_may_name_a_time_zone(
    value: str, times: str, timezone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", URL)
    monkeypatch.setenv("SUPABASE_KEY", KEY)
    monkeypatch.setenv("DAILY_FETCH_AT", value)
    expected = FetchTimes(tuple(time.fromisoformat(part) for part in times.split(",") if part), timezone)
    assert load_settings(WorkerSettings).daily_fetch_at == expected
