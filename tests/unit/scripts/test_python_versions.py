"""The supported versions of Python, which pyproject.toml, the workflows and the image name separately."""

import re
import tomllib

import yaml
from packaging.specifiers import SpecifierSet

from scripts.wheels import PYTHONS, ROOT


def test_the_workflow_runs_on_each_supported_python() -> None:
    check = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8"))["jobs"]["check"]
    assert check["strategy"] == {"fail-fast": False, "matrix": {"python": list(PYTHONS)}}
    (setup,) = [step["with"] for step in check["steps"] if "setup-python" in step.get("uses", "")]
    assert setup == {"python-version": "${{ matrix.python }}"}


def test_pyproject_allows_exactly_the_supported_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    allowed = SpecifierSet(project["project"]["requires-python"])
    assert [version for version in (f"3.{minor}" for minor in range(9, 15)) if version in allowed] == list(PYTHONS)
    assert project["tool"]["ruff"]["target-version"] == f"py{PYTHONS[0].replace('.', '')}"
    assert "python_version" not in project["tool"]["mypy"], "the types hold on each version"


def test_the_image_and_the_daily_run_use_the_newest_python() -> None:
    bases = re.findall(r"^FROM python:([\d.]+)-", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    daily = (ROOT / ".github/workflows/daily.yml").read_text(encoding="utf-8")
    assert {*bases, *re.findall(r'python-version: "([\d.]+)"', daily)} == {PYTHONS[-1]}
