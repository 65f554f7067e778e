"""What the documents point at is there: tests, files and pictures, each by its name."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from app.metrics import Metrics

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def name_of(path: Path) -> str:
    return path.name


@cache
def functions_of(module: Path) -> set[str]:
    tree = ast.parse(module.read_text(encoding="utf-8")) if module.is_file() else ast.Module([], [])
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_named_test_exists(document: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", document.read_text(encoding="utf-8"))
    assert [f"{module}::{test}" for module, test in named if test not in functions_of(ROOT / module)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_named_file_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    linked = [document.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    quoted = [
        ROOT / path for path in re.findall(r"`((?:app|worker|embedded|benchmarks|scripts|tests|docs)/[\w./]+)`", text)
    ]
    assert [str(path) for path in linked + quoted if not path.exists()] == []


def test_every_promise_names_a_test() -> None:
    text = (ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 30
    assert [row for row in rows if not re.search(r"\| `tests/\S+::\w+` \|$", row)] == []


def test_alerts_use_existing_metrics_and_are_explained() -> None:
    families = list(Metrics().registry.collect())
    known = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    rules = [r for g in yaml.safe_load((ROOT / "docs" / "alerts.yml").read_text())["groups"] for r in g["rules"]]
    watched = {name for rule in rules for name in re.findall(r"broadsheet_\w+", rule["expr"])}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in watched} - known == set()
    runbook = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in rules if f"| `{rule['alert']}` |" not in runbook] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_named_make_target_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = document.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|`|1 )make ([a-z]+(?:-[a-z]+)*)", text, re.MULTILINE)) <= targets
