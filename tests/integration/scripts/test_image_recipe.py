"""The image check fails when the Dockerfile omits a file (`make image-check` itself covers pip)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def image_check(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    environment = Path(sys.prefix)
    command = [
        sys.executable,
        "scripts/image_check.py",
        "--dockerfile",
        str(dockerfile),
        "--installed",
        str(environment),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_dockerfile_passes() -> None:
    result = image_check(ROOT / "Dockerfile")
    assert result.returncode == 0, result.stdout
    assert 'GET /healthz: 200 {"status":"ok"}' in result.stdout


@pytest.mark.parametrize(
    "forgotten",
    ["COPY app ./app\n", "COPY worker ./worker\n", "COPY pyproject.toml requirements.lock ./\n"],
    ids=lambda line: line.strip(),
)
def test_a_missing_copy_fails(forgotten: str, tmp_path: Path) -> None:
    assert forgotten in DOCKERFILE
    changed_file = tmp_path / "Dockerfile"
    changed_file.write_text(DOCKERFILE.replace(forgotten, ""), encoding="utf-8")
    result = image_check(changed_file)
    assert result.returncode == 1
    assert "image check FAILED" in result.stdout


def test_a_file_excluded_from_the_build_fails(tmp_path: Path) -> None:
    changed_file = tmp_path / "Dockerfile"
    changed_file.write_text(DOCKERFILE.replace("COPY app ./app", "COPY README.md app ./app"), encoding="utf-8")
    result = image_check(changed_file)
    assert result.returncode == 1
    assert "COPY README.md: it is not in the build context" in result.stdout
