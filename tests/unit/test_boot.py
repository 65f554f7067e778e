"""The boot check as people run it: what it says, and what makes it fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.main import create_app
from app.versions import LOCK, PYPROJECT, locked_versions, pinned_versions, require_locked_versions

ROOT = Path(__file__).parents[2]


def boot(*arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run the check as the image build does: with no environment but PATH."""
    command = [python, "-X", "dev", "-m", "app.boot", *arguments]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def without_slow_callbacks(log: str) -> str:
    """asyncio's debug mode reports callbacks that took long, which only says how busy this machine is."""
    return "".join(line for line in log.splitlines(keepends=True) if not line.startswith("Executing <"))


def changed_lock(tmp_path: Path, old: str, new: str) -> Path:
    text = LOCK.read_text(encoding="utf-8")
    assert old in text
    lock = tmp_path / "requirements.lock"
    lock.write_text(text.replace(old, new), encoding="utf-8")
    return lock


def test_passes_here_and_prints_one_line_per_check() -> None:
    result = boot()
    *checks, verdict = result.stdout.splitlines()
    assert (result.returncode, without_slow_callbacks(result.stderr)) == (0, "")
    assert [line.split()[:2] for line in checks] == [
        ["ok", name] for name in ("versions", "imports", "asyncio", "client", "openapi")
    ]
    assert verdict == "boot check passed"


def test_changed_version_fails_and_names_both_versions_and_the_command(tmp_path: Path) -> None:
    lock = changed_lock(tmp_path, "postgrest==0.19.3", "postgrest==0.19.4")
    result = boot("--lock", str(lock))
    assert result.returncode == 1
    assert "postgrest: 0.19.3 is installed, requirements.lock has 0.19.4" in result.stdout
    assert f"python -m pip install --no-deps --require-hashes -r {lock}" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("boot check FAILED")


def test_missing_package_fails_as_json_too(tmp_path: Path) -> None:
    lock = changed_lock(tmp_path, "postgrest==0.19.3", "vanished-package==1.0")
    report = json.loads(boot("--lock", str(lock), "--json").stdout)
    assert report["ok"] is False
    versions = report["checks"][0]
    assert versions["check"] == "versions"
    assert "vanished-package: it is not installed" in versions["detail"]


def test_package_gone_from_the_environment_fails_every_check_that_needs_it(tmp_path: Path) -> None:
    """A module that cannot be imported, as after a bad install: hidden here by one that raises."""
    (tmp_path / "deprecation.py").write_text("raise ModuleNotFoundError('No module named deprecation')")
    command = [sys.executable, "-m", "app.boot"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    lines = {line.split()[1]: line for line in result.stdout.splitlines()}
    assert "No module named deprecation" in lines["imports"]
    assert lines["client"].startswith("FAIL")


def test_foreign_asyncio_fails(tmp_path: Path) -> None:
    """What realtime's dependency of that name would do if it ever came first on the path."""
    (tmp_path / "asyncio").symlink_to(Path(os.__file__).parent / "asyncio")
    script = "import sys; sys.path.insert(0, sys.argv[1]); import app.boot; sys.exit(app.boot.main([]))"
    command = [sys.executable, "-c", script, str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, "a link to the real one is the real one"
    (tmp_path / "asyncio").unlink()
    copy = tmp_path / "asyncio"
    copy.mkdir()
    for file in (Path(os.__file__).parent / "asyncio").glob("*.py"):
        (copy / file.name).write_bytes(file.read_bytes())
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"asyncio comes from {copy}" in result.stdout


@pytest.mark.parametrize("content", [None, "# nothing\n"])
def test_no_lock_is_an_error_that_says_what_to_do(content: str | None, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    if content is not None:
        lock.write_text(content)
    with pytest.raises(ConfigurationError, match=r"The lock .*requirements\.lock"):
        require_locked_versions(lock)


@pytest.mark.pins
def test_pins_are_the_owners_and_the_lock_follows_them() -> None:
    assert pinned_versions() == {"supabase": "2.11.0", "realtime": "2.0.0"}
    assert pinned_versions().items() <= locked_versions().items()


def test_the_version_is_said_once() -> None:
    version = create_app().openapi()["info"]["version"]
    assert f'version = "{version}"' in PYPROJECT.read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_have_hashes_for_everything_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    requirements = [line for line in text.splitlines() if line and line[0].isalnum()]
    assert len(requirements) > len(pinned_versions())
    assert all(line.endswith("\\") for line in requirements), "a line without a hash behind it"
