"""Files that cannot run here (fly.toml, the workflow, the CLI's file): each rule, and violations that it must find."""

import base64
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import ApiSettings, SupabaseSettings, WorkerSettings
from app.process.metrics import Metrics
from app.server import SHUTDOWN_TIMEOUT
from tests.support.applications import described_paths
from worker.configuration import not_configured

ROOT = Path(__file__).parents[2]
FLY, WORKFLOW, DOCKERFILE = "fly.toml", ".github/workflows/deploy.yml", "Dockerfile"
CLI, CI, IGNORE = "supabase/config.toml", ".ci/run", ".dockerignore"
IMAGE = '"$IMAGE"'
COMMIT = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
BASE = re.compile(r"^FROM (python:3\.14-slim@sha256:[0-9a-f]{64})(?: AS \w+)?$", re.MULTILINE)

DIGEST = re.findall("[0-9a-f]{64}", (ROOT / DOCKERFILE).read_text(encoding="utf-8"))[0]

FLY_TOML = (ROOT / FLY).read_text(encoding="utf-8")

Files = dict[str, str]
Rule = Callable[[Files], None]


def fly(files: Files) -> dict[str, Any]:
    return tomllib.loads(files[FLY])


def steps(files: Files, job: str) -> list[str]:
    """What each step runs or uses, in order."""
    workflow = yaml.safe_load(files[WORKFLOW])
    return [step.get("run") or step["uses"] for step in workflow["jobs"][job]["steps"]]


def step_with(files: Files, job: str, word: str) -> int:
    (found,) = [i for i, run in enumerate(steps(files, job)) if word in run]
    return found


def seconds(value: str) -> float:
    return float(value.removesuffix("s"))


def commands_start_modules_that_exist(files: Files) -> None:
    found = [*fly(files)["processes"].values(), fly(files)["deploy"]["release_command"]]
    found += re.findall(r"^RUN (python -m app\.\S+)", files[DOCKERFILE], re.MULTILINE)
    for command in found:
        program, flag, module = command.split()[:3]
        assert (program, flag) == ("python", "-m")
        name = module if "." in module else f"{module}.__main__"
        assert importlib.util.find_spec(name) is not None


def release_checks_the_image_and_the_schema(files: Files) -> None:
    assert fly(files)["deploy"]["release_command"].split() == ["python", "-m", "app.boot", "--files", "--schema"]
    assert set(fly(files)["processes"]) == {"app", "worker"}


def both_processes_have_time_to_stop(files: Files) -> None:
    assert fly(files)["kill_signal"] == "SIGTERM"
    assert seconds(fly(files)["kill_timeout"]) >= WorkerSettings.model_fields["grace_period"].default + 10
    assert seconds(fly(files)["kill_timeout"]) >= SHUTDOWN_TIMEOUT + 10
    assert SupabaseSettings.model_fields["supabase_call_timeout"].default < SHUTDOWN_TIMEOUT


def the_api_can_sleep_and_the_worker_cannot(files: Files) -> None:
    service = fly(files)["http_service"]
    assert service["processes"] == ["app"]
    assert (service["auto_stop_machines"], service["min_machines_running"]) == ("stop", 0)
    assert "services" not in fly(files), "a service for the worker could put it to sleep"


def the_worker_always_restarts(files: Files) -> None:
    (restart,) = fly(files)["restart"]
    assert restart == {"policy": "always", "processes": ["worker"]}


def routing_uses_the_liveness_check(files: Files) -> None:
    service = fly(files)["http_service"]
    (check,) = service["checks"]
    assert check["path"] == "/healthz", "/readyz would stop the API during an outage of Supabase, and hide the reason"
    assert check["path"] in described_paths()
    assert service["internal_port"] == int(fly(files)["env"]["PORT"])


def metrics_ports_are_not_routed(files: Files) -> None:
    env = fly(files)["env"]
    (metrics,) = fly(files)["metrics"]
    assert (metrics["path"], set(metrics["processes"])) == ("/metrics", {"app", "worker"})
    assert metrics["port"] == int(env["METRICS_PORT"]) == int(env["WORKER_PORT"])
    assert metrics["port"] != fly(files)["http_service"]["internal_port"]
    assert env["METRICS_HOST"] == env["WORKER_HOST"] == env["HOST"] == "0.0.0.0"  # noqa: S104  (inside a machine)


def the_environment_names_settings(files: Files) -> None:
    known = {name.upper() for name in ApiSettings.model_fields | WorkerSettings.model_fields}
    assert set(fly(files)["env"]) <= known


def deploys_run_after_the_checks(files: Files) -> None:
    deploy = yaml.safe_load(files[WORKFLOW])["jobs"]["deploy"]
    assert deploy["needs"] == "check"
    assert deploy["if"] == "github.ref == 'refs/heads/main'"
    assert steps(files, "check")[-1] == "bash .ci/run"
    words = ("docker build", "app.boot --files", "flyctl config validate --strict", "make migrate", "flyctl deploy")
    order = [step_with(files, "deploy", word) for word in words]
    assert order == sorted(order)


def migrations_need_a_secret(files: Files) -> None:
    deploy = yaml.safe_load(files[WORKFLOW])["jobs"]["deploy"]
    step = deploy["steps"][step_with(files, "deploy", "make migrate")]
    assert step["env"] == {"DATABASE_URL": "${{ secrets.DATABASE_URL }}"}
    assert step["run"] == 'test -z "$DATABASE_URL" || make migrate'


def each_secret_is_in_one_step(files: Files) -> None:
    workflow = yaml.safe_load(files[WORKFLOW])
    for place in (workflow, *workflow["jobs"].values()):
        assert "secrets" not in str(place.get("env"))
    for step in [step for job in workflow["jobs"].values() for step in job["steps"]]:
        assert "secrets" not in step.get("run", ""), "a secret on a command line is read by the shell"
        assert "uses" not in step or "env" not in step, "an Action sees no secret"


def platform_calls_use_the_token(files: Files) -> None:
    environment_steps = [
        step
        for step in yaml.safe_load(files[WORKFLOW])["jobs"]["deploy"]["steps"]
        if step.get("run", "").startswith("flyctl")
    ]
    assert len(environment_steps) == 3
    for step in environment_steps:
        assert step["env"] == {"FLY_API_TOKEN": "${{ secrets.FLY_API_TOKEN }}"}


def the_checked_image_is_deployed(files: Files) -> None:
    runs = steps(files, "deploy")
    (named,) = [run for run in runs if "GITHUB_ENV" in run]
    assert 'open("fly.toml", "rb"))["app"]' in named
    assert "IMAGE=registry.fly.io/$app:$GITHUB_SHA" in named
    words = ("docker build --tag", "docker run --rm --network none", "docker push", "flyctl deploy --image")
    places = [step_with(files, "deploy", word) for word in words]
    assert places == sorted(places)
    assert all(f"{word} {IMAGE}" in runs[place] for word, place in zip(words, places, strict=True))


def actions_and_flyctl_are_pinned(files: Files) -> None:
    found = [
        step for job in yaml.safe_load(files[WORKFLOW])["jobs"].values() for step in job["steps"] if "uses" in step
    ]
    assert found
    for step in found:
        assert COMMIT.fullmatch(step["uses"]), step["uses"]
        if "setup-flyctl" in step["uses"]:
            assert re.fullmatch(r"\d+\.\d+\.\d+", step["with"]["version"])
    named = [line for line in files[WORKFLOW].splitlines() if "uses:" in line]
    assert all(re.search(r" # v?\d+\.\d+", line) for line in named), "a commit id is not a version for people"


def the_workflow_token_is_read_only(files: Files) -> None:
    workflow = yaml.safe_load(files[WORKFLOW])
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        (checkout,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert checkout["with"] == {"persist-credentials": False}


def ci_runs_the_three_commands(files: Files) -> None:
    script = files[CI].splitlines()
    assert {"export POSTGRESQL=all", "make check", "make test", "make image-check"} <= set(script)
    assert "set -euo pipefail" in script


def the_image_is_slim_unprivileged_and_checked(files: Files) -> None:
    last_stage = files[DOCKERFILE].rpartition("FROM ")[2]
    bases = BASE.findall(files[DOCKERFILE])
    assert len(bases) == files[DOCKERFILE].count("FROM ") == 2
    assert len(set(bases)) == 1, "both stages have one base"
    assert "USER broadsheet" in last_stage
    assert "pip install" not in last_stage
    assert last_stage.index("USER broadsheet") < last_stage.index("RUN python -m app.boot --files\n")
    assert "--require-hashes" in files[DOCKERFILE]


def the_image_has_the_code_and_start_files(files: Files) -> None:
    let_in = {line.removeprefix("!") for line in files[IGNORE].splitlines() if line.startswith("!")}
    assert files[IGNORE].startswith("*\n")
    assert let_in == {"pyproject.toml", "requirements.lock", "requirements-otel.lock", "app", "worker"}


def the_cli_can_link_and_push(files: Files) -> None:
    """What the Supabase CLI refuses: a missing project_id, or an unknown major version."""
    settings = tomllib.loads(files[CLI])
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", settings["project_id"])
    assert settings["db"]["major_version"] in {15, 17}


RULES: dict[Rule, list[tuple[str, str, str]]] = {
    commands_start_modules_that_exist: [
        (FLY, 'worker = "python -m worker"', 'worker = "python -m workers"'),
        (FLY, '"python -m app.boot --files', '"python -m app.boots --files'),
    ],
    release_checks_the_image_and_the_schema: [
        (FLY, " --schema", ""),
        (FLY, " --files", ""),
    ],
    both_processes_have_time_to_stop: [
        (FLY, 'kill_timeout = "40s"', 'kill_timeout = "30s"'),
        (FLY, '"SIGTERM"', '"SIGINT"'),
    ],
    the_api_can_sleep_and_the_worker_cannot: [
        (FLY, "[[metrics]]", "[[services]]\ninternal_port = 1\n[[metrics]]"),
        (FLY, '[http_service]\nprocesses = ["app"]', '[http_service]\nprocesses = ["app", "worker"]'),
    ],
    the_worker_always_restarts: [
        (FLY, 'policy = "always"', 'policy = "on-failure"'),
        (FLY, 'policy = "always"\nprocesses = ["worker"]', 'policy = "always"\nprocesses = ["app"]'),
        (FLY, 'policy = "always"', 'policy = "always"\nretries = 10'),
    ],
    routing_uses_the_liveness_check: [
        (FLY, 'path = "/healthz"', 'path = "/readyz"'),
        (FLY, "internal_port = 8000", "internal_port = 8080"),
    ],
    metrics_ports_are_not_routed: [
        (FLY, 'METRICS_PORT = "9091"', 'METRICS_PORT = "9092"'),
        (FLY, 'WORKER_HOST = "0.0.0.0"', 'WORKER_HOST = "127.0.0.1"'),
        (FLY, 'path = "/metrics"\nprocesses = ["app", "worker"]', 'path = "/metrics"\nprocesses = ["app"]'),
        (FLY, "9091", "8000"),
    ],
    the_environment_names_settings: [(FLY, "METRICS_HOST", "METRIC_HOST")],
    deploys_run_after_the_checks: [
        (WORKFLOW, "    needs: check\n", ""),
        (WORKFLOW, "refs/heads/main", "refs/heads/next"),
        (WORKFLOW, "bash .ci/run", "true"),
        (WORKFLOW, " --strict", ""),
        (WORKFLOW, "|| make migrate", "|| flyctl deploy"),
    ],
    migrations_need_a_secret: [
        (WORKFLOW, 'test -z "$DATABASE_URL" || ', ""),
        (WORKFLOW, "make migrate", "make migrate DATABASE_URL=${{ secrets.DATABASE_URL }}"),
        (WORKFLOW, "DATABASE_URL: ${{ secrets.DATABASE_URL }}", "DATABASE_URL: ''"),
    ],
    each_secret_is_in_one_step: [
        (WORKFLOW, "    needs: check\n", "    needs: check\n    env: {A: '${{ secrets.A }}'}\n"),
        (WORKFLOW, "make migrate\n", "make migrate DATABASE_URL=${{ secrets.DATABASE_URL }}\n"),
    ],
    platform_calls_use_the_token: [
        (
            WORKFLOW,
            "--strict\n        env:\n          FLY_API_TOKEN: ${{ secrets.FLY_API_TOKEN }}",
            "--strict\n        env: {}",
        )
    ],
    the_checked_image_is_deployed: [
        (WORKFLOW, f"--image {IMAGE}", "--image broadsheet:latest"),
        (WORKFLOW, f"none {IMAGE}", "none broadsheet:latest"),
        (WORKFLOW, "registry.fly.io/$app", "registry.fly.io/broadsheet"),
        (WORKFLOW, f" && docker push {IMAGE}", ""),
    ],
    actions_and_flyctl_are_pinned: [
        (WORKFLOW, "3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "v7"),
        (WORKFLOW, "ed8efb33836e8b2096c7fd3ba1c8afe303ebbff1", "master"),
        (WORKFLOW, "version: 0", "version: latest"),
        (WORKFLOW, " # v7.0.0", ""),
    ],
    the_workflow_token_is_read_only: [
        (WORKFLOW, "contents: read", "contents: write"),
        (WORKFLOW, "persist-credentials: false", "persist-credentials: true"),
        (WORKFLOW, "    needs: check\n", "    needs: check\n    permissions: write-all\n"),
    ],
    ci_runs_the_three_commands: [
        (CI, "make image-check\n", ""),
        (CI, "=all", "=15"),
        (CI, "set -euo pipefail", "set -u"),
    ],
    the_image_is_slim_unprivileged_and_checked: [
        (DOCKERFILE, "USER broadsheet\n", ""),
        (DOCKERFILE, f"@sha256:{DIGEST} AS build", " AS build"),
        (DOCKERFILE, f"{DIGEST} AS build", f"{'0' * 64} AS build"),
        (DOCKERFILE, " --files", ""),
        (DOCKERFILE, "--require-hashes ", ""),
        (DOCKERFILE, "COPY worker ./worker\n", "COPY worker ./worker\nRUN pip install more\n"),
    ],
    the_image_has_the_code_and_start_files: [(IGNORE, "!worker\n", ""), (IGNORE, "*\n!py", "!.env\n!py")],
    the_cli_can_link_and_push: [
        (CLI, 'project_id = "broadsheet"', 'project_id = ""'),
        (CLI, 'project_id = "broadsheet"\n', ""),
        (CLI, "major_version = 17", "major_version = 9"),
    ],
}


@pytest.fixture
def files() -> Files:
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in (FLY, WORKFLOW, DOCKERFILE, CLI, CI, IGNORE)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule, files: Files) -> None:
    rule(files)


@pytest.mark.parametrize(
    ("rule", "name", "old", "new"),
    [(rule, *plant) for rule, plants in RULES.items() for plant in plants],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_rule_finds_an_injected_violation(rule: Rule, name: str, old: str, new: str, files: Files) -> None:
    assert old in files[name]
    with pytest.raises((AssertionError, ImportError, KeyError, ValueError)):
        rule(files | {name: files[name].replace(old, new)})


def test_every_target_is_in_the_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)).split())
    assert phony == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


def test_the_readmes_deployment_sets_the_required_settings() -> None:
    """Both processes start with the documented settings, and the worker lacks nothing."""
    operations = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    command = operations.partition("fly secrets set ")[2].partition("make migrate")[0].replace("\\\n", " ")
    given = dict(word.split("=", 1) for word in shlex.split(command))
    secret = "whsec_" + base64.b64encode(b"0" * 24).decode()
    values = {name: secret if value == "whsec_..." else value.replace("...", "x" * 20) for name, value in given.items()}
    settings = {name.lower(): value for name, value in {**tomllib.loads(FLY_TOML)["env"], **values}.items()}
    worker, api = WorkerSettings.model_validate(settings), ApiSettings.model_validate(settings)
    assert not_configured(worker) == {}
    assert (api.admins, bool(api.link_secret), bool(api.resend_webhook_secret)) == (("ada",), True, True)


def test_the_readmes_settings_start_both_processes() -> None:
    block = (ROOT / "README.md").read_text(encoding="utf-8").partition("SUPABASE_URL=")
    lines = ("SUPABASE_URL=" + block[2].partition("```")[0]).splitlines()
    given = dict(line.strip().replace("...", "x" * 20).split("=", 1) for line in lines if line.strip())
    settings = {name.lower(): value for name, value in given.items()}
    worker, api = WorkerSettings.model_validate(settings), ApiSettings.model_validate(settings)
    assert (set(not_configured(worker)), api.admins) == ({"WEBHOOK_SECRET"}, ("ada",))


def test_operations_explain_every_metric() -> None:
    document = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    families = [family.name for family in Metrics().registry.collect()]
    assert families
    assert [
        name for name in families if name not in document and name.removeprefix("broadsheet_supabase") not in document
    ] == []
