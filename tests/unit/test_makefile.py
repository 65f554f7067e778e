"""Variables of `make` reach the programs unchanged: neither make nor the shell evaluates them."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ODD = "a b;touch made $$(touch made) $(shell touch made) `touch made` $HOME \"'\\ * é.toml"
"""Text that a shell or make would evaluate."""

WORDS = ["--a", "1;", "touch", "made", "$$(touch", "made)", "`touch", "made`", "$HOME", "*"]

PROGRAM = """#!/bin/sh
printf '%s\\n' "$@" "$PYTEST_ADDOPTS" "$DATABASE_URL" "$DATA" "$UPGRADE"
"""


def run_make(target: str, folder: Path, environment: dict[str, str], *arguments: str) -> list[str]:
    """Run a target whose programs print their arguments; return the output without empty lines."""
    for name in ("python", "uv"):
        (folder / name).write_text(PROGRAM)
        (folder / name).chmod(0o755)
    command = ["make", target, f"BIN={folder}", "--silent", "--assume-old=.venv/installed", *arguments]
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    result = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not (ROOT / "made").exists()
    return [line for line in result.stdout.splitlines() if line]


@pytest.mark.parametrize("origin", ["environment", "command line"])
@pytest.mark.parametrize(
    ("target", "variable", "expected"),
    [
        ("migrate", "DATABASE_URL", ["-m", "scripts.migrate", ODD]),
        ("digest", "PROFILE", ["-m", "embedded.commands", "digest", f"--profile={ODD}"]),
        ("digest", "DATE", ["-m", "embedded.commands", "digest", f"--date={ODD}"]),
        ("digest", "OPEN", ["-m", "embedded.commands", "digest", "--open"]),
        ("digest", "INTERESTS", ["-m", "embedded.commands", "digest", f"--interests={ODD}"]),
        ("digest", "CATEGORIES", ["-m", "embedded.commands", "digest", f"--categories={ODD}"]),
        ("daily", "INTERESTS", ["-m", "embedded.commands", "daily", f"--interests={ODD}"]),
        ("daily", "CATEGORIES", ["-m", "embedded.commands", "daily", f"--categories={ODD}"]),
        ("daily", "EMAIL", ["-m", "embedded.commands", "daily", f"--email={ODD}"]),
        ("daily", "READERS", ["-m", "embedded.commands", "daily", f"--readers={ODD}"]),
        ("daily", "SAMPLE", ["-m", "embedded.commands", "daily", "--sample"]),
        ("daily", "PRUNE", ["-m", "embedded.commands", "daily", "--prune"]),
        ("daily", "WAIT", ["-m", "embedded.commands", "daily", f"--wait={ODD}"]),
        ("readers", "FILE", ["-m", "worker.readers", "--", ODD]),
        ("up", "PORT", ["-m", "embedded.commands", "up", "--end-with-parent", f"--port={ODD}"]),
        ("up", "STACK_PORT", ["-m", "embedded.commands", "up", "--end-with-parent", f"--stack-port={ODD}"]),
        ("mutants", "PACKAGE", ["-m", "scripts.mutants", f"--package={ODD}"]),
        ("mutants", "SEED", ["-m", "scripts.mutants", f"--seed={ODD}"]),
        ("soak-mails", "READERS", ["-m", "tests.acceptance.soak_mails", f"--readers={ODD}"]),
        ("bench-ranking", "DATA", ["-m", "benchmarks.ranking", ODD]),
        ("bench-scale", "N", ["-m", "benchmarks.capacity", f"--rows={ODD}"]),
        ("bench-schedule", "READERS", ["-m", "benchmarks.schedule", f"--readers={ODD}"]),
        ("test", "ARGS", ["-m", "pytest", f" -n auto --dist worksteal {ODD}"]),
    ],
)
def test_a_variable_reaches_the_program_unchanged(
    target: str, variable: str, expected: list[str], origin: str, tmp_path: Path
) -> None:
    environment = {variable: ODD} if origin == "environment" else {}
    arguments = [] if origin == "environment" else [f"{variable}={ODD}"]
    assert run_make(target, tmp_path, environment, *arguments) == expected


@pytest.mark.parametrize(
    ("target", "expected"), [("supabase", ["-m", "embedded", "serve"]), ("boot-check", ["-m", "app.boot"])]
)
def test_options_are_split_only_at_spaces(target: str, expected: list[str], tmp_path: Path) -> None:
    assert run_make(target, tmp_path, {}, f"ARGS={' '.join(WORDS)}") == [*expected, *WORDS]


def test_a_python_path_with_a_space_works(tmp_path: Path) -> None:
    folder = tmp_path / "my programs"
    folder.mkdir()
    output = run_make("try-upgrade", folder, {}, f"PYTHON={folder / 'python'}", "ARGS=--a *")
    assert output == ["scripts/try_upgrade.py", "--a", "*"]


def test_an_installation_prints_its_progress(tmp_path: Path) -> None:
    installer = tmp_path / "python"
    installer.write_text('#!/bin/sh\ntest "$2" = venv || exit 0\nmkdir -p "$4/bin"\ncp "$PIP" "$4/bin/pip"\n')
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\nprintf '%s ' pip \"$@\"\n")
    for program in (installer, pip):
        program.chmod(0o755)
    variables = {"PATH": os.environ["PATH"], "PIP": str(pip)}
    command = ["make", "install", f"VENV={tmp_path / 'venv'}", f"PYTHON={installer}"]
    result = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    first, second = result.stdout.splitlines()
    assert first.startswith("Setting up"), result.stderr
    assert "about a minute" in first
    assert second.startswith("pip install ")
    assert "--quiet" not in second, "pip must print what it downloads"


def test_migrate_without_a_database_names_the_variable() -> None:
    command = ["make", "migrate", "--silent", "--assume-old=.venv/installed"]
    result = subprocess.run(
        command, cwd=ROOT, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "DATABASE_URL=postgresql://" in result.stderr
