"""The status of a local stack, on which the contract tests can run."""

import json
from pathlib import Path

import pytest

from embedded.stack import Ready
from tests.support.running_stack import running_stack

STATUS = {
    "API_URL": "http://127.0.0.1:54321",
    "DB_URL": "postgresql://postgres:postgres@127.0.0.1:54322/postgres",
    "ANON_KEY": "anon",
    "SERVICE_ROLE_KEY": "service",
    "SECRET_KEY": "sb_secret_x",
}


def stack_of(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: str) -> Ready | None:
    (folder / "status.json").write_text(json.dumps(STATUS | changes))
    monkeypatch.setenv("SUPABASE_STATUS", str(folder / "status.json"))
    return running_stack()


def test_a_local_stack_is_used_as_superuser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack_of(tmp_path, monkeypatch) == Ready(
        url="http://127.0.0.1:54321",
        service_role_key="service",
        secret_key="sb_secret_x",
        anon_key="anon",
        database_url="postgresql://supabase_admin:postgres@127.0.0.1:54322/postgres",
    )


@pytest.mark.parametrize(
    "remote", [{"API_URL": "https://x.supabase.co"}, {"DB_URL": "postgresql://postgres:p@db.supabase.co/postgres"}]
)
def test_a_project_is_refused(remote: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"SUPABASE_STATUS names .*supabase\.co"):
        stack_of(tmp_path, monkeypatch, **remote)


def test_without_a_status_the_emulator_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_STATUS", raising=False)
    assert running_stack() is None
