"""The sign-up page needs links and mails: a process whose settings lack them does not start, and says what to set."""

import pytest

from app.config import ApiSettings, WorkerSettings, load_settings
from app.errors import ConfigurationError

COMPLETE = {
    "SUPABASE_URL": "https://abc.supabase.co",
    "SUPABASE_KEY": "sb_secret_x",
    "API_KEYS": "k" * 16,
    "PUBLIC_SIGN_UP": "true",
    "PUBLIC_URL": "https://digest.example.org",
    "LINK_SECRET": "0123456789abcdef",
    "MAIL_URL": "smtp://localhost",
    "MAIL_FROM": "digest@example.org",
}


def problem(kind: type[ApiSettings | WorkerSettings], monkeypatch: pytest.MonkeyPatch, *missing: str) -> str | None:
    """The error of loading complete settings without these."""
    for name, value in COMPLETE.items():
        if name not in missing:
            monkeypatch.setenv(name, value)
    try:
        load_settings(kind)
    except ConfigurationError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", [ApiSettings, WorkerSettings])
@pytest.mark.parametrize("missing", [("LINK_SECRET",), ("PUBLIC_URL",), ("PUBLIC_URL", "LINK_SECRET")], ids=str)
def test_no_process_starts_without_links(
    kind: type[ApiSettings | WorkerSettings], missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = problem(kind, monkeypatch, *missing)
    assert found is not None
    # The worker requires LINK_SECRET together with PUBLIC_URL for all mails.
    assert all(name in found for name in missing)
    assert "Set it, or set PUBLIC_SIGN_UP=false" in found or kind is WorkerSettings


def test_a_worker_without_mail_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "PUBLIC_SIGN_UP is true without MAIL_URL" in (problem(WorkerSettings, monkeypatch, "MAIL_URL") or "")
    assert problem(ApiSettings, monkeypatch, "MAIL_URL", "MAIL_FROM") is None, "the API sends no mails"


@pytest.mark.parametrize("kind", [ApiSettings, WorkerSettings])
def test_complete_settings_are_accepted(
    kind: type[ApiSettings | WorkerSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problem(kind, monkeypatch) is None


@pytest.mark.parametrize("missing", [("PUBLIC_SIGN_UP", "PUBLIC_URL", "LINK_SECRET", "MAIL_URL")])
def test_without_sign_up_nothing_of_this_is_needed(missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem(WorkerSettings, monkeypatch, *missing) is None
