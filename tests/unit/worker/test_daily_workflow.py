"""The workflow of daily digests: off by default, pinned, its secrets in one step; and the commands of DAILY.md."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.api.readers_file import FIELDS
from app.config import WorkerSettings
from worker.options import OneShotOptions, parse_options

ROOT = Path(__file__).parents[3]
WORKFLOW = (ROOT / ".github/workflows/daily.yml").read_text(encoding="utf-8")
DEPLOY = (ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8")
DOCUMENT = (ROOT / "docs/DAILY.md").read_text(encoding="utf-8")
GUARD = "github.event_name == 'workflow_dispatch' || vars.DAILY_DIGEST == 'on'"


def parsed(workflow: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(workflow)
    return found


def job(workflow: str) -> dict[str, Any]:
    (only,) = parsed(workflow)["jobs"].values()
    found: dict[str, Any] = only
    return found


def it_is_off_by_default(workflow: str) -> None:
    # YAML reads the key `on` as true.
    assert set(parsed(workflow)[True]) == {"workflow_dispatch", "schedule"}
    assert job(workflow)["if"] == GUARD


def it_only_reads_the_repository(workflow: str) -> None:
    assert parsed(workflow)["permissions"] == {"contents": "read"}
    assert "permissions" not in job(workflow)
    assert job(workflow)["steps"][0]["with"] == {"persist-credentials": False}


def actions_are_those_of_the_deployment(workflow: str) -> None:
    used = re.findall(r"uses: (.*)", workflow)
    assert used
    assert set(used) <= set(re.findall(r"uses: (.*)", DEPLOY))


def secrets_are_in_one_step_and_documented(workflow: str) -> None:
    *others, last = job(workflow)["steps"]
    assert "secrets" not in str([parsed(workflow).get("env"), job(workflow).get("env"), others, last["run"]])
    secrets = [name for name, value in last["env"].items() if value == f"${{{{ secrets.{name} }}}}"]
    assert set(last["env"]) - set(secrets) == {"ENVIRONMENT", "LOG_LEVEL"}
    assert {name.lower() for name in last["env"]} - {"readers_toml"} <= WorkerSettings.model_fields.keys()
    section = DOCUMENT.partition("### GitHub Actions")[2]
    assert [name for name in secrets if f"`{name}`" not in section] == []


def packages_are_the_locked_ones(workflow: str) -> None:
    (install,) = [step["run"] for step in job(workflow)["steps"] if "pip" in step.get("run", "")]
    assert "--require-hashes" in install
    assert install.endswith("-r requirements.lock")


RULES: dict[Callable[[str], None], list[tuple[str, str]]] = {
    it_is_off_by_default: [(" || vars.DAILY_DIGEST == 'on'", " || true"), ("  workflow_dispatch:", "  push:")],
    it_only_reads_the_repository: [("contents: read", "contents: write"), ("credentials: false", "credentials: true")],
    actions_are_those_of_the_deployment: [("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7")],
    secrets_are_in_one_step_and_documented: [
        ('"$READERS_TOML" >', '"${{ secrets.READERS_TOML }}" >'),
        ("secrets.MAIL_FROM", "secrets.MAIL_URL"),
        ("MAIL_URL", "MAIL_UR"),
        ("    runs-on", "    env: {A: '${{ secrets.A }}'}\n    runs-on"),
    ],
    packages_are_the_locked_ones: [("--require-hashes ", "")],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Callable[[str], None]) -> None:
    rule(WORKFLOW)


@pytest.mark.parametrize(("rule", "old", "new"), [(rule, *plant) for rule, plants in RULES.items() for plant in plants])
def test_rule_finds_a_violation(rule: Callable[[str], None], old: str, new: str) -> None:
    assert old in WORKFLOW
    with pytest.raises((AssertionError, KeyError)):
        rule(WORKFLOW.replace(old, new))


def test_every_documented_command_has_valid_options() -> None:
    commands = re.findall(r"python -m worker (--once[^\n`#{]*)", DOCUMENT)
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command.partition(" 2>>")[0])
        assert isinstance(parse_options(words), OneShotOptions)


def test_every_field_of_a_readers_file_is_documented() -> None:
    assert [field for field in FIELDS if f"`{field}`" not in DOCUMENT] == []
