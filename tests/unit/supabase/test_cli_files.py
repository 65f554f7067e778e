"""The files of the Supabase CLI: each rule, and violations that it must find."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.tasks import JWT_SECRET

ROOT = Path(__file__).parents[3]
CLI, CI, MAKEFILE, WORKFLOW = "supabase/config.toml", ".ci/run", "Makefile", ".github/workflows/deploy.yml"
DAILY, FLY, STACK = ".github/workflows/daily.yml", "fly.toml", ".github/workflows/supabase.yml"

Files = dict[str, str]
Rule = Callable[[Files], None]


def the_api_has_only_the_schema_of_the_service(files: Files) -> None:
    """Each migration grants what is needed, so nothing may be granted by default."""
    api = tomllib.loads(files[CLI])["api"]
    assert (api["schemas"], api["auto_expose_new_tables"]) == (["public"], False)


def only_confirmed_addresses_sign_in(files: Files) -> None:
    auth = tomllib.loads(files[CLI])["auth"]
    assert not auth["enable_anonymous_sign_ins"]
    assert auth["email"]["enable_confirmations"]
    assert auth["email"]["double_confirm_changes"]


def only_development_databases_are_seeded(files: Files) -> None:
    settings = tomllib.loads(files[CLI])
    assert settings["db"]["seed"] == {"enabled": True, "sql_paths": ["./seed.sql"]}
    for name in (MAKEFILE, DAILY, FLY):
        assert "seed.sql" not in files[name]
        assert "supabase db" not in files[name]
    assert "include-seed" not in files[WORKFLOW], "it would reach a real project"
    assert "--linked" not in files[WORKFLOW] + files[CI]


def the_local_stack_is_checked_with_the_pinned_cli(files: Files) -> None:
    workflow = yaml.safe_load(files[STACK])
    (job,) = workflow["jobs"].values()
    runs = "\n".join(step.get("run", "") for step in job["steps"])
    words = ("npm ci", "supabase start", "db reset --local", "test db --local", "db advisors --local", "tests/contract")
    assert [runs.index(word) for word in words] == sorted(runs.index(word) for word in words)
    assert "secrets" not in files[STACK]
    assert job["env"]["SUPABASE_AUTH_JWT_SECRET"] == JWT_SECRET
    assert workflow["permissions"] == {"contents": "read"}
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in used)


RULES: dict[Rule, list[tuple[str, str, str]]] = {
    the_api_has_only_the_schema_of_the_service: [
        (CLI, 'schemas = ["public"]', 'schemas = ["public", "auth"]'),
        (CLI, "auto_expose_new_tables = false", "auto_expose_new_tables = true"),
    ],
    only_confirmed_addresses_sign_in: [
        (CLI, "enable_confirmations = true", "enable_confirmations = false"),
        (CLI, "double_confirm_changes = true", "double_confirm_changes = false"),
        (CLI, "enable_anonymous_sign_ins = false", "enable_anonymous_sign_ins = true"),
    ],
    only_development_databases_are_seeded: [
        (CLI, "enabled = true\nsql_paths", "enabled = false\nsql_paths"),
        (MAKEFILE, "scripts.migrate\n", "scripts.migrate && psql -f supabase/seed.sql\n"),
        (MAKEFILE, "scripts.migrate\n", "scripts.migrate && supabase db push --include-seed\n"),
        (WORKFLOW, "|| make migrate", "|| supabase db push --include-seed --db-url $DATABASE_URL"),
        (WORKFLOW, "|| make migrate", "|| supabase db reset --linked"),
    ],
    the_local_stack_is_checked_with_the_pinned_cli: [
        (STACK, "npm ci", "npm install supabase"),
        (STACK, "npx supabase test db --local", "exit 0"),
        (STACK, "npx supabase db advisors --local", "npx supabase db advisors --linked"),
        (STACK, "contents: read", "contents: write"),
        (STACK, "3d3c42e5aac5ba805825da76410c181273ba90b1", "v7"),
        (STACK, "c" * 40, "d" * 40),
    ],
}


@pytest.fixture
def files() -> Files:
    names = (CLI, CI, MAKEFILE, WORKFLOW, DAILY, FLY, STACK)
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in names}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_of_supabase_files_holds(rule: Rule, files: Files) -> None:
    rule(files)


@pytest.mark.parametrize(
    ("rule", "name", "old", "new"),
    [(rule, *plant) for rule, plants in RULES.items() for plant in plants],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_rule_finds_an_injected_change(rule: Rule, name: str, old: str, new: str, files: Files) -> None:
    assert old in files[name]
    with pytest.raises((AssertionError, KeyError, ValueError)):
        rule(files | {name: files[name].replace(old, new)})
