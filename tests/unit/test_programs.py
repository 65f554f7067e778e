"""Each program that make, the image or a document starts with `python -m` does its work when it is started so."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTERS = [ROOT / name for name in ("Makefile", "Dockerfile", "fly.toml", "compose.yaml", "README.md")]
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
OURS = ("app", "worker", "embedded", "scripts", "benchmarks", "tests")


def programs() -> list[str]:
    """The modules of the project after `-m`, in shells and in lists of words, except names with a variable."""
    texts = [file.read_text(encoding="utf-8") for file in [*STARTERS, *DOCUMENTS]]
    named = {
        name for text in texts for name in re.findall(r"-m[\s\",]+([a-z_]+(?:\.[a-z_]+)*)(?![a-z_]|\.[$a-z])", text)
    }
    return sorted(name for name in named if name.partition(".")[0] in OURS)


def source_of(module: str) -> tuple[Path, ast.Module]:
    path = ROOT / module.replace(".", "/")
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    return file, ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", programs())
def test_a_started_module_is_a_program(module: str) -> None:
    file, tree = source_of(module)
    last = tree.body[-1]
    if isinstance(last, ast.If):
        assert ast.unparse(last.test) == "__name__ == '__main__'"
        last = last.body[-1]
    else:
        assert file.name == "__main__.py", "an import would run it"
    assert isinstance(last, ast.Expr)
    assert isinstance(last.value, ast.Call)


def test_the_programs_are_found() -> None:
    assert {"app", "worker", "worker.readers", "app.boot", "scripts.migrate", "embedded"} <= {*programs()}
