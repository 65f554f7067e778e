"""The worker process's exit status, and its output on standard error or in its log."""

import asyncio
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

import worker.main
from app.config import WorkerSettings
from app.errors import ConfigurationError, SchemaOutdated
from worker.main import main
from worker.supervisor import PeriodicJobFailed

BROKEN = LookupError("broken")


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Records the settings of the log and of the worker, which ends at once."""
    seen: list[Any] = []

    async def work(settings: WorkerSettings) -> None:
        seen.append(settings)

    monkeypatch.setenv("SUPABASE_URL", "http://x.test")
    monkeypatch.setenv("SUPABASE_KEY", "sb_secret_x")
    monkeypatch.setattr(worker.main, "configure_logs", seen.append)
    monkeypatch.setattr(worker.main, "run_worker", work)
    return seen


def test_it_runs_with_the_environments_settings_and_exits_0(worked: list[Any]) -> None:
    assert main() == 0
    assert [str(settings.supabase_url) for settings in worked] == ["http://x.test"] * 2


def test_an_invalid_setting_is_named(
    worked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONCURRENCY", "none")
    assert main() == 1
    assert "CONCURRENCY" in capsys.readouterr().err
    assert worked == []


def test_libraries_of_other_versions_are_named(
    worked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unlocked() -> None:
        raise ConfigurationError("httpx is not the locked one")

    monkeypatch.setattr(worker.main, "require_locked_versions", unlocked)
    assert main() == 1
    assert capsys.readouterr().err == "httpx is not the locked one\n"
    assert worked == []


@pytest.mark.parametrize(
    ("error", "status", "output", "logged"),
    [
        (ConfigurationError("the port is taken"), 1, "the port is taken\n", []),
        (SchemaOutdated("apply the migrations"), 1, "apply the migrations\n", []),
        (PeriodicJobFailed("the watch died"), 1, "the watch died\n", []),
        (
            asyncio.CancelledError(),
            0,
            "",
            [{"event": "stopped at once, leases will expire", "log_level": "warning"}],
        ),
        (
            KeyboardInterrupt(),
            0,
            "",
            [{"event": "stopped at once, leases will expire", "log_level": "warning"}],
        ),
        (BROKEN, 1, "", [{"event": "worker failed", "log_level": "error", "exc_info": True}]),
    ],
)
def test_each_end_has_its_exit_status_and_message(
    error: BaseException,
    status: int,
    output: str,
    logged: list[Any],
    worked: list[Any],  # noqa: ARG001  (its settings)
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(working: Any) -> None:
        working.close()
        raise error

    monkeypatch.setattr(uvloop, "run", run)
    with capture_logs() as log:
        assert main() == status
    assert capsys.readouterr().err == output
    assert log == logged
