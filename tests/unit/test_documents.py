"""The documents name only tests, files, make targets and metrics that exist, and the README lists every document."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from app.process.metrics import Metrics
from scripts.alerts import ALERTS, OPERATIONS, alerts_document, with_table
from scripts.settings import DOCUMENT, settings_document

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = ["app", "worker", "embedded", "supabase", "scripts", "tests"]
SUFFIXES = {".py", ".sql", ".j2"}


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
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| guarantee")]
    assert len(rows) > 30
    assert [row for row in rows if not re.search(r"\| `tests/\S+::\w+` \|$", row)] == []


def test_the_readme_is_short_and_lists_every_document() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.encode()) <= 9_000
    documents = [path.name for path in sorted((ROOT / "docs").glob("*.md"))]
    assert [name for name in documents if f"| [{name}](docs/{name}) |" not in readme] == []


def test_the_index_of_decisions_names_each_section_once() -> None:
    text = (ROOT / "docs" / "DECISIONS.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[([\w ]+)\]\(#", text, re.MULTILINE) == re.findall(r"^## (.+)$", text, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_linked_section_exists(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([\w-]+)\)", document.read_text(encoding="utf-8"))
    assert [
        f"{path}#{anchor}"
        for path, anchor in links
        if anchor not in anchors_of((document.parent / path) if path else document)
    ] == []


def anchors_of(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@cache
def source_text() -> str:
    """Names and texts of all source files, in which each name that a document quotes must occur."""
    files = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.*")) if path.suffix in SUFFIXES]
    return "\n".join(f"{path.name}\n{path.read_text(encoding='utf-8')}" for path in files)


@pytest.mark.parametrize(
    "name", ["README.md", "API.md", "READERS.md", "ARCHITECTURE.md", "DECISIONS.md", "GLOSSARY.md"]
)
def test_every_quoted_name_occurs_in_the_sources(name: str) -> None:
    (text,) = [path.read_text(encoding="utf-8") for path in DOCUMENTS if path.name == name]
    quoted = {word for quote in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[a-z]+(?:_[a-z]+)+", quote)}
    assert sorted(word for word in quoted if word not in source_text()) == []


def test_the_settings_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == settings_document(), "run `make settings`"


def test_alerts_and_their_table_come_from_the_conditions() -> None:
    assert ALERTS.read_text(encoding="utf-8") == alerts_document(), "run `make alerts`"
    operations = OPERATIONS.read_text(encoding="utf-8")
    assert operations == with_table(operations), "run `make alerts`"


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
    assert set(re.findall(r"(?:^ *|`|1 )make ([a-z]+(?:-[a-z]+)*)", text, re.MULTILINE)) <= targets
