"""What cannot run here (fly.toml, the workflow) is read: its commands exist, and nothing deploys before the checks."""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.api.health import READY_WITHIN
from app.config import WorkerSettings
from app.main import create_app
from app.metrics import Metrics

ROOT = Path(__file__).parents[2]
FLY: dict[str, Any] = tomllib.loads((ROOT / "fly.toml").read_text(encoding="utf-8"))
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def seconds(value: str) -> float:
    return float(value.removesuffix("s"))


def steps(job: str) -> list[str]:
    """What each step runs or uses, in order."""
    return [step.get("run") or step["uses"] for step in WORKFLOW["jobs"][job]["steps"]]


@pytest.mark.parametrize(
    "command", [*FLY["processes"].values(), FLY["deploy"]["release_command"], "python -m app.boot"], ids=str
)
def test_commands_start_modules_that_exist(command: str) -> None:
    program, flag, module = command.split()[:3]
    assert (program, flag) == ("python", "-m")
    name = module if module == "app.boot" else f"{module}.__main__"
    assert importlib.util.find_spec(name) is not None


def test_release_is_stopped_by_the_boot_check() -> None:
    assert FLY["deploy"]["release_command"] == "python -m app.boot"
    assert set(FLY["processes"]) == {"app", "worker"}


def test_worker_has_time_to_finish_after_sigterm() -> None:
    assert FLY["kill_signal"] == "SIGTERM"
    grace = WorkerSettings.model_fields["grace_period"].default
    assert seconds(FLY["kill_timeout"]) >= grace + 10


def test_the_api_may_sleep_and_the_worker_may_not() -> None:
    service = FLY["http_service"]
    assert service["processes"] == ["app"]
    assert (service["auto_stop_machines"], service["min_machines_running"]) == ("stop", 0)
    assert "services" not in FLY, "a service for the worker could put it to sleep"


def test_health_check_hears_the_reason() -> None:
    (check,) = FLY["http_service"]["checks"]
    paths = create_app().openapi()["paths"]
    assert check["path"] == "/readyz"
    assert check["path"] in paths
    assert seconds(check["timeout"]) > READY_WITHIN
    assert FLY["http_service"]["internal_port"] == int(FLY["env"]["PORT"])


def test_nothing_deploys_before_the_checks() -> None:
    deploy = WORKFLOW["jobs"]["deploy"]
    assert deploy["needs"] == "check"
    assert deploy["if"] == "github.ref == 'refs/heads/main'"
    assert steps("check")[-1] == "bash .ci/run"
    order = [
        next(i for i, run in enumerate(steps("deploy")) if word in run)
        for word in ("docker build", "app.boot", "flyctl deploy")
    ]
    assert order == sorted(order)


def test_what_is_deployed_is_the_image_that_was_checked() -> None:
    tags = [re.findall(r"broadsheet:\S+ ?\S* ?\S*", run) for run in steps("deploy") if "broadsheet:" in run]
    assert len(tags) == 3
    assert {tag[0].split("}}")[0] for tag in tags} == {"broadsheet:${{ github.sha "}


def test_ci_runs_the_three_commands() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert {"make check", "make test", "make image-check"} <= set(script)
    assert "set -euo pipefail" in script


def test_every_target_is_in_the_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)).split())
    assert phony == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


def test_the_image_is_slim_and_not_root() -> None:
    last_stage = DOCKERFILE.rpartition("FROM ")[2]
    assert DOCKERFILE.count("FROM python:3.11-slim") == 2
    assert "USER broadsheet" in last_stage
    assert "pip install" not in last_stage
    assert last_stage.index("USER broadsheet") < last_stage.index("RUN python -m app.boot")
    assert "--require-hashes" in DOCKERFILE


def test_the_readme_explains_every_metric() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    families = [family.name for family in Metrics().registry.collect()]
    assert families
    assert [
        name for name in families if name not in readme and name.removeprefix("broadsheet_supabase") not in readme
    ] == []
