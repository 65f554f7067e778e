"""The boot check from the command line: its output, and what makes it fail."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from app.boot import CheckFailed, check_versions, main
from app.errors import ConfigurationError
from app.installation.installed_files import altered_files
from app.installation.versions import (
    LOCK,
    PYPROJECT,
    locked_versions,
    not_locked,
    pinned_versions,
    require_locked_versions,
)
from tests.support.applications import described_document

ROOT = Path(__file__).parents[2]
UVICORN = f"uvicorn=={locked_versions()['uvicorn']}"


def boot(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the check as the image build does, with only PATH in the environment."""
    command = [sys.executable, *options, "-m", "app.boot"]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def boot_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the check in this process, which has imported the modules: its exit status and output."""
    with warnings.catch_warnings():
        status = main(list(arguments))
    return status, capsys.readouterr().out


@pytest.fixture
def quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three checks that take most of the time pass at once: other tests run them."""
    for check in ("client", "openapi", "templates"):
        monkeypatch.setattr(f"app.boot.check_{check}", lambda: "")


def without_slow_callbacks(log: str) -> str:
    """asyncio's debug mode logs slow callbacks, which depends only on the load of this machine."""
    return "".join(line for line in log.splitlines(keepends=True) if not line.startswith("Executing <"))


def changed_lock(tmp_path: Path, old: str, new: str) -> Path:
    text = LOCK.read_text(encoding="utf-8")
    assert old in text
    lock = tmp_path / "requirements.lock"
    lock.write_text(text.replace(old, new), encoding="utf-8")
    return lock


def test_passes_here_and_prints_one_line_per_check() -> None:
    result = boot("-X", "dev")
    *checks, verdict = result.stdout.splitlines()
    assert (result.returncode, without_slow_callbacks(result.stderr)) == (0, "")
    assert [line.split()[:2] for line in checks] == [
        ["ok", name] for name in ("versions", "imports", "asyncio", "client", "openapi", "templates")
    ]
    assert verdict == "boot check passed"


@pytest.mark.usefixtures("quick_checks")
def test_a_changed_version_fails_with_both_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = changed_lock(tmp_path, "postgrest==0.19.3", "postgrest==0.19.4")
    status, printed = boot_here(capsys, "--lock", str(lock))
    assert status == 1
    assert "postgrest: 0.19.3 is installed, requirements.lock requires 0.19.4" in printed
    assert f"python -m pip install --no-deps --require-hashes -r {lock}" in printed
    assert printed.splitlines()[-1].startswith("boot check FAILED")


@pytest.mark.usefixtures("quick_checks")
def test_a_missing_package_fails_in_json_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = changed_lock(tmp_path, "postgrest==0.19.3", "vanished-package==1.0")
    status, output = boot_here(capsys, "--lock", str(lock), "--json")
    report = json.loads(output)
    assert status == 1
    assert report["ok"] is False
    versions = report["checks"][0]
    assert versions["check"] == "versions"
    assert "vanished-package: it is not installed" in versions["detail"]


def test_a_missing_package_fails_every_check_that_needs_it(tmp_path: Path) -> None:
    """A module that cannot be imported, as after a failed install: hidden by one that raises."""
    (tmp_path / "deprecation.py").write_text("raise ModuleNotFoundError('No module named deprecation')")
    result = boot(PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    lines = {line.split()[1]: line for line in result.stdout.splitlines()}
    assert "No module named deprecation" in lines["imports"]
    assert lines["client"].startswith("FAIL")


def test_a_template_that_does_not_compile_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.html.j2").write_text("{{ day | no_such_filter }}", encoding="utf-8")
    monkeypatch.setattr("app.pages.rendering._TEMPLATES", tmp_path)
    status, printed = boot_here(capsys)
    assert status == 1
    assert [line for line in printed.splitlines() if line.startswith("FAIL")] == [
        "FAIL  templates TemplateAssertionError: No filter named 'no_such_filter'."
    ]


def test_foreign_asyncio_fails(tmp_path: Path) -> None:
    """A package named asyncio, first on the path, as realtime's dependency of that name would be."""
    (tmp_path / "asyncio").symlink_to(Path(os.__file__).parent / "asyncio")
    script = "import sys; sys.path.insert(0, sys.argv[1]); import app.boot; app.boot.{}"
    command = [sys.executable, "-c", script.format("check_asyncio()"), str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, "a link to the real one is the real one"
    (tmp_path / "asyncio").unlink()
    copy = tmp_path / "asyncio"
    shutil.copytree(Path(os.__file__).parent / "asyncio", copy)
    # The checks that need this library then end at once.
    (tmp_path / "deprecation.py").write_text("raise ModuleNotFoundError('No module named deprecation')")
    command[2] = script.format("sys.exit(app.boot.main([]))")
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"FAIL  asyncio   asyncio comes from {copy}" in result.stdout


@pytest.mark.parametrize("content", [None, b"# nothing\n", b"\xff\xfe\x00", b"a package ==\n"])
def test_a_missing_lock_is_an_error_with_the_remedy(content: bytes | None, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    if content is not None:
        lock.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"The lock .*requirements\.lock"):
        require_locked_versions(lock)


@pytest.mark.pins
def test_the_lock_has_the_pinned_versions() -> None:
    assert pinned_versions() == {"supabase": "2.11.0", "realtime": "2.0.0"}
    assert pinned_versions().items() <= locked_versions().items()


def test_the_version_is_declared_once() -> None:
    version = described_document()["info"]["version"]
    assert f'version = "{version}"' in PYPROJECT.read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_have_hashes_and_no_urls(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    requirements = [line for line in text.splitlines() if line and line[0].isalnum()]
    assert len(requirements) > len(pinned_versions())
    assert all(line.endswith("\\") for line in requirements), "a line without a hash after it"


@pytest.fixture
def installed_package(tmp_path: Path) -> Path:
    """A package with a RECORD as pip writes it, on its own path entry."""
    site = tmp_path / "site"
    (site / "sample_package").mkdir(parents=True)
    (site / "sample_package-1.0.dist-info").mkdir()
    (site / "sample_package" / "__init__.py").write_text("VALUE = 1\n")
    (site / "sample_package-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: sample_package\nVersion: 1.0\n"
    )
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"VALUE = 1\n").digest()).decode().rstrip("=")
    rows = [
        f"sample_package/__init__.py,sha256={digest},10",
        "sample_package/__init__.cpython-311.pyc,,",
        "sample_package-1.0.dist-info/RECORD,,",
    ]
    (site / "sample_package-1.0.dist-info" / "RECORD").write_text("\n".join(rows) + "\n")
    return site


def altered(site: Path) -> None:
    (site / "sample_package" / "__init__.py").write_text("VALUE = 2\n")


def lost(site: Path) -> None:
    (site / "sample_package" / "__init__.py").unlink()


def without_record(site: Path) -> None:
    (site / "sample_package-1.0.dist-info" / "RECORD").unlink()


def with_an_unknown_digest(site: Path) -> None:
    (site / "sample_package-1.0.dist-info" / "RECORD").write_text("sample_package/__init__.py,crc32=AAAA,10\n")


@pytest.mark.parametrize(
    ("change", "output"),
    [
        (altered, "sample_package: sample_package/__init__.py has been altered since it was installed"),
        (lost, "sample_package: sample_package/__init__.py cannot be compared"),
        (without_record, "sample_package has no RECORD"),
        (with_an_unknown_digest, "sample_package: sample_package/__init__.py cannot be compared"),
    ],
)
def test_an_altered_installed_file_is_named(
    change: Callable[[Path], None], output: str, installed_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed_package)
    assert altered_files(["sample_package", "not-installed"]) == []
    change(installed_package)
    (problem,) = altered_files(["sample_package", "not-installed"])
    assert problem.startswith(output)


@pytest.mark.usefixtures("quick_checks")
def test_an_altered_file_of_the_same_version_fails(
    installed_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        LOCK.read_text(encoding="utf-8") + "sample_package==1.0 \\\n    --hash=sha256:00\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(installed_package)
    for change, status, output in (
        (None, 0, "ok    files"),
        (altered, 1, "sample_package/__init__.py has been altered"),
    ):
        if change is not None:
            change(installed_package)
        found, printed = boot_here(capsys, "--files", "--lock", str(lock))
        assert found == status
        assert output in printed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (UVICORN, "another-server==1.0"),
        (UVICORN, f"{UVICORN} ; python_version < '3'"),
        (UVICORN, "uvicorn==0.1"),
    ],
    ids=["missing", "not for this Python", "too old"],
)
def test_a_lock_without_a_pyproject_dependency_is_refused(old: str, new: str, tmp_path: Path) -> None:
    assert not_locked() == []
    lock = changed_lock(tmp_path, old, new)
    assert [missing.name for missing in not_locked(lock)] == ["uvicorn"]
    with pytest.raises(CheckFailed, match=r"requirements\.lock lacks dependencies of pyproject\.toml: uvicorn"):
        check_versions(lock)


@pytest.mark.parametrize("content", [None, b"not toml", b"\xff\xfe", b"[project]\n", b"[project]\ndependencies = 3\n"])
def test_a_missing_pyproject_is_an_error_with_the_remedy(content: bytes | None, tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    if content is not None:
        pyproject.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml cannot be read .*put it beside the code"):
        pinned_versions(pyproject)


@pytest.mark.usefixtures("quick_checks")
def test_the_schema_check_is_optional_and_fails_without_schema(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_KEY": "sb_secret_x", "SUPABASE_RETRIES": "0"}
    for environment, found in (({}, "SUPABASE_URL is not set"), (settings, "Cannot connect to host 127.0.0.1:9")):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        status, printed = boot_here(capsys, "--schema")
        *_, line, verdict = printed.splitlines()
        assert (status, line.split()[:2]) == (1, ["FAIL", "schema"])
        assert found in line
        assert verdict.startswith("boot check FAILED")
