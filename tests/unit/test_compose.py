"""compose.yaml, which cannot run here: each rule, and violations that it must find. Its scripts are executed."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import ApiSettings, WorkerSettings
from embedded.commands.serve import PORT, parse
from scripts.image_check import instructions
from tests.support.applications import described_paths

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
BASE = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[-1]
WORKER_PATHS = {"/healthz", "/metrics"}
"""tests/unit/worker/test_http.py requests them."""

Services = dict[str, dict[str, Any]]
Rule = Callable[[Services], None]


def services_of(text: str) -> Services:
    found: Services = yaml.safe_load(text)["services"]
    return found


def script(service: dict[str, Any]) -> str:
    """What a service runs, as one text."""
    return " ".join(service["command"])


def modules(service: dict[str, Any]) -> list[str]:
    return re.findall(r"python -m (\S+)", script(service))


def built(services: Services) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from ((name, service) for name, service in services.items() if "build" in service)


def each_profile_has_an_api_and_a_worker(services: Services) -> None:
    by_profile: dict[str, set[str]] = {}
    for service in services.values():
        (profile,) = service["profiles"]
        by_profile.setdefault(profile, set()).update(modules(service))
    assert by_profile == {"project": {"app", "worker"}, "emulator": {"app", "worker", "venv", "embedded"}}


def commands_start_modules_that_exist(services: Services) -> None:
    for service in services.values():
        for module in modules(service):
            assert importlib.util.find_spec(f"{module}.__main__") is not None, module


def images_are_built_from_the_dockerfile(services: Services) -> None:
    arguments = {rest.partition("=")[0] for word, rest in instructions(ROOT / "Dockerfile") if word == "ARG"}
    for name, service in built(services):
        assert service["build"]["context"] == ".", name
        assert set(service["build"]["args"]) <= arguments
        default = re.fullmatch(r"\$\{LOCK:-(.*)\}", service["build"]["args"]["LOCK"])
        assert default is not None
        assert (ROOT / default[1]).is_file()
    assert services["emulator"]["image"] == BASE


def every_variable_is_a_setting(services: Services) -> None:
    for name, service in built(services):
        settings = WorkerSettings if "worker" in modules(service) else ApiSettings
        assert {variable.lower() for variable in service["environment"]} <= set(settings.model_fields), name


def health_checks_request_what_the_processes_serve(services: Services) -> None:
    for name, service in built(services):
        program, port_of, paths = (
            ("worker", "WORKER_PORT", WORKER_PATHS)
            if "worker" in modules(service)
            else ("app", "PORT", set(described_paths()))
        )
        (found,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\S*)'", service["healthcheck"]["test"][-1])
        assert found[0] == service["environment"][port_of], name
        assert found[1] in paths - {"/readyz"}, f"{name}: an outage of Supabase must not restart {program}"
    assert f"'127.0.0.1', {PORT}" in services["emulator"]["healthcheck"]["test"][-1]


def nothing_is_reachable_from_outside(services: Services) -> None:
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def containers_have_no_rights_and_time_to_stop(services: Services) -> None:
    for name, service in built(services):
        rights = (service["read_only"], service["cap_drop"], service["security_opt"])
        assert rights == (True, ["ALL"], ["no-new-privileges:true"]), name
        grace = int(service["stop_grace_period"].removesuffix("s"))
        assert grace >= WorkerSettings.model_fields["grace_period"].default + 10
    assert services["worker"]["restart"] == services["emulated-worker"]["restart"] == "always"


def no_secret_is_in_the_file(services: Services) -> None:
    secret = {"SUPABASE_KEY", "API_KEYS", "LINK_SECRET", "WEBHOOK_SECRET", "MAIL_URL", "OPENAI_API_KEY", "NEWSAPI_KEY"}
    for name, service in services.items():
        given = {key: value for key, value in service["environment"].items() if key in secret}
        assert all(re.fullmatch(r"\$\{[A-Z_]+:-\}", str(value)) for value in given.values()), name


def the_emulators_services_share_its_network(services: Services) -> None:
    for name in ("emulated-api", "emulated-worker"):
        assert services[name]["network_mode"] == "service:emulator"
        assert services[name]["depends_on"] == {"emulator": {"condition": "service_healthy"}}
        assert services[name]["environment"]["SUPABASE_URL"] == f"http://127.0.0.1:{PORT}"
        assert "ports" not in services[name], "the service whose network it shares has them"


RULES: dict[Rule, list[tuple[str, str]]] = {
    each_profile_has_an_api_and_a_worker: [
        ("profiles: [project]", "profiles: [emulator]"),
        ("python -m worker", "true"),
    ],
    commands_start_modules_that_exist: [("python -m embedded", "python -m emulated")],
    images_are_built_from_the_dockerfile: [
        ("LOCK: ${LOCK:-requirements.lock}", "LOCK: ${LOCK:-requirements.txt}"),
        ("      LOCK: $", "      LOCKS: $"),
        ("f85c5697", "00000000"),
    ],
    every_variable_is_a_setting: [("WORKER_PORT: ", "WORKERPORT: "), ("API_KEYS: ", "KEYS: ")],
    health_checks_request_what_the_processes_serve: [
        (":8000/healthz", ":8000/health"),
        (":8000/healthz", ":8000/readyz"),
        (":9091/healthz", ":9090/healthz"),
        ("54321), 5", "54322), 5"),
    ],
    nothing_is_reachable_from_outside: [("127.0.0.1:8000:8000", "8000:8000")],
    containers_have_no_rights_and_time_to_stop: [
        ("read_only: true", "read_only: false"),
        ("cap_drop: [ALL]", "cap_drop: []"),
        ("stop_grace_period: 40s", "stop_grace_period: 10s"),
        ("restart: always", "restart: on-failure"),
    ],
    no_secret_is_in_the_file: [("API_KEYS: ${API_KEYS:-}", "API_KEYS: ada:0123456789abcdef")],
    the_emulators_services_share_its_network: [
        ("network_mode: service:emulator", "network_mode: bridge"),
        ("service_healthy", "service_started"),
    ],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule) -> None:
    rule(services_of(COMPOSE))


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [(rule, *violation) for rule, violations in RULES.items() for violation in violations],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_rule_finds_an_injected_violation(rule: Rule, old: str, new: str) -> None:
    assert old in COMPOSE
    with pytest.raises((AssertionError, ImportError, KeyError, ValueError)):
        rule(services_of(COMPOSE.replace(old, new)))


def test_the_emulator_accepts_its_arguments() -> None:
    (arguments,) = re.findall(r"python -m embedded (.*?) >", script(services_of(COMPOSE)["emulator"]))
    options = parse(arguments.split())
    assert (str(options.data), options.port) == ("/data/supabase", PORT)


@pytest.mark.parametrize("name", ["emulated-api", "emulated-worker"])
def test_a_service_of_the_emulator_reads_its_key(name: str, tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text(json.dumps({"secret_key": "sb_secret_1"}) + "\n", encoding="utf-8")
    *shell, text = services_of(COMPOSE)[name]["command"]
    here = (
        text.replace("$$", "$").replace("/data/", f"{tmp_path}/").replace("exec python -m ", "printenv SUPABASE_KEY #")
    )
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    found = subprocess.run([*shell, here], env=path, capture_output=True, text=True, check=True)
    assert found.stdout == "sb_secret_1\n"
