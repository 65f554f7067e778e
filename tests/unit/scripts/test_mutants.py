"""Mutation testing: which code is changed, that the list fits the tree, and that undetected faults are reported."""

import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper

from scripts import faults, mutants, tree_copy
from scripts.faults import DATA, ROOT, Finder, Mutant, WrongData, python_mutants, sql_mutants
from scripts.mutants import Verdict, check_tests, choose, run_mutants
from scripts.tree_copy import Closed, Copy

LISTED = tomllib.loads(DATA.read_text(encoding="utf-8"))
DOUBLED = "def double(n: int) -> int:\n    return 2 * n\n"
SOURCE = '''
async def renew(self, count: int | None) -> str:
    """Nobody tests this sentence."""
    log.info("renewed", count=count)
    await self.call(count)
    if count > 3:
        raise ValueError(f"{count} are too many", "far too many")
    match count:
        case None:
            return "none"
        case _ as never:
            assert_never(never)
    return "name"
'''


def changes(source: str) -> list[str]:
    wrapper, finder = MetadataWrapper(cst.parse_module(source)), Finder()
    wrapper.visit(finder)
    texts = []
    for _, before, after in finder.found:
        changed = wrapper.module.deep_replace(before, after)
        assert isinstance(changed, cst.Module)
        texts.append(changed.code)
    return texts


def test_faults_change_code_and_not_texts() -> None:
    found = changes(SOURCE)
    assert SOURCE.replace("await self.call(count)", "pass") in found
    assert SOURCE.replace("count > 3", "count >= 3") in found
    assert SOURCE.replace("self.call(count)", "self.call(None)") in found
    assert SOURCE.replace('"name"', '"XXnameXX"') in found
    for kept in (
        "int | None",
        "Nobody tests this sentence.",
        '"renewed", count=count',
        "are too many",
        "far too many",
        "assert_never",
    ):
        assert all(kept in text for text in found), kept


def test_every_package_and_fault_of_the_list_fits_the_tree() -> None:
    for name, package in LISTED["packages"].items():
        check_tests(name, package["tests"])
        assert all(any(ROOT.glob(pattern)) for pattern in package.get("files", ())), name
    listed = list(sql_mutants(LISTED["sql"]))
    assert all(mutant.text != mutant.original for mutant in listed)
    check_tests("sql", [mutant.test for mutant in listed if mutant.test])


def test_each_python_file_belongs_to_one_package() -> None:
    listed: dict[str, list[str]] = {}
    for name, package in LISTED["packages"].items():
        for path in {path for pattern in package.get("files", ()) for path in ROOT.glob(pattern)}:
            listed.setdefault(str(path.relative_to(ROOT)), []).append(name)
    files = [path for folder in ("app", "worker") for path in (ROOT / folder).rglob("*.py")]
    packages: dict[str, list[str]] = {str(path.relative_to(ROOT)): [] for path in files}
    packages |= listed
    assert len(packages) > 300
    assert {path: names for path, names in packages.items() if len(names) != 1} == {}, (
        "faults are drawn once per package"
    )


def test_python_means_all_packages_except_the_sql() -> None:
    packages = LISTED["packages"]
    assert [*choose(packages, "python"), "sql"] == [*choose(packages, None)] == [*packages]
    assert [*choose(packages, "pages")] == ["pages"]
    with pytest.raises(WrongData, match=r"no package is called page: choose one of python, worker, "):
        choose(packages, "page")


def test_an_entry_that_does_not_fit_is_named() -> None:
    with pytest.raises(WrongData, match=r"package worker: no file is called gone/\*\.py"):
        list(python_mutants("worker", ["gone/*.py"]))
    with pytest.raises(WrongData, match="package worker: no test is called tests/gone"):
        check_tests("worker", ["tests/gone"])
    entry = {"file": "20261201100000_tasks.sql", "old": "no such text", "new": "", "reason": "nothing"}
    with pytest.raises(WrongData, match=r"'no such text' occurs 0 times in .*tasks"):
        list(sql_mutants([entry]))


def test_a_fault_in_a_replaced_function_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    function = "function public.a() returns integer language sql as $$ select 1 $$;\n"
    (folder / "20270101000000_a.sql").write_text(f"create {function}")
    (folder / "20270102000000_b.sql").write_text(f"create or replace {function}")
    monkeypatch.setattr(faults, "ROOT", tmp_path)
    entry = {"file": "20270101000000_a.sql", "old": "select 1", "new": "select 2", "reason": "nothing"}
    with pytest.raises(WrongData, match=r"select 1.* is replaced by 20270102000000_b.sql: name that file in the entry"):
        list(sql_mutants([entry]))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one function and its test, which `run_mutants` copies."""
    root = tmp_path / "root"
    (root / "tests").mkdir(parents=True)
    (root / "doubled.py").write_text(DOUBLED)
    # In its own process, without the modules that this process has imported.
    seen = f"import subprocess, sys\n\ndef test_double(): assert subprocess.check_output([{sys.executable!r}, '-c', "
    call = "'import doubled; print(doubled.double(2) or 4)']) == b'4\\n'\n"
    (root / "tests" / "test_code.py").write_text(seen + call)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    monkeypatch.setattr(mutants, "ROOT", root)
    for name, value in (("ROOT", root), ("CHECKED", ("--strict", "doubled.py"))):
        monkeypatch.setattr(tree_copy, name, value)
    # pytest's plugins are not under test, and each run would import them.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return root


def test_detected_faults_are_listed_and_the_tree_is_unchanged(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = (DOUBLED.replace("2 * n", text) for text in ("3 * n", "None", "n + 2"))
    verdicts = run_mutants(
        [Mutant("package", "doubled.py", 2, DOUBLED, text) for text in texts], {"package": ["tests"]}, 1
    )
    assert [verdict for _, verdict in verdicts] == [Verdict.TESTS, Verdict.TYPES, Verdict.NONE]
    output = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert output == [
        ["detected", "doubled.py:2", "FAILED", "tests/test_code.py::test_double"],
        ["types", "doubled.py:2"],
        ["SURVIVED", "doubled.py:2"],
    ]
    assert (root / "doubled.py").read_text() == DOUBLED
    failure = Copy(tmp_path / "copy").first_failure(["tests"], 0)
    assert failure is not None, "tests that exceed their time must fail"


def test_the_test_that_an_entry_names_runs_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = root / "tests" / "test_named.py"
    named.write_text((root / "tests" / "test_code.py").read_text())
    made = Mutant("sql", "doubled.py", 2, DOUBLED, DOUBLED.replace("2 *", "3 *"), test="tests/test_named.py")
    assert [verdict for _, verdict in run_mutants([made], {"sql": ["tests"]}, 1)] == [Verdict.TESTS]
    assert capsys.readouterr().out.split()[-1] == "tests/test_named.py::test_double"


UNSTABLE = """
from pathlib import Path

def test_fails_always(): raise ValueError

def test_fails_once():
    if not Path("seen").exists():
        Path("seen").mkdir()
        raise ValueError
"""


def test_a_test_that_fails_without_a_fault_detects_none(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "tests" / "test_always.py").write_text(UNSTABLE)
    mutant = Mutant("package", "doubled.py", 2, DOUBLED, DOUBLED.replace("2 * n", "3 * n"))
    assert [verdict for _, verdict in run_mutants([mutant], {"package": ["tests"]}, 1)] == [Verdict.TESTS]
    always, once, detected = capsys.readouterr().out.splitlines()
    assert always.startswith("tests/test_always.py::test_fails_always detects nothing")
    assert once.startswith("tests/test_always.py::test_fails_once detects nothing")
    assert detected.endswith(" tests/test_code.py::test_double")


STARTED = """
import time
from pathlib import Path

def test_waits():
    Path("started").touch()
    time.sleep(300)
"""


def test_no_test_is_started_when_the_run_ends(root: Path, tmp_path: Path) -> None:
    (root / "tests" / "test_code.py").write_text(STARTED)
    copy = Copy(tmp_path / "copy")
    with ThreadPoolExecutor(1) as pool:
        detection = pool.submit(copy.detection, Mutant("package", "doubled.py", 2, DOUBLED, DOUBLED), [["tests"]], 300)
        while not (copy.folder / "started").exists():
            assert not detection.done()
            time.sleep(0.01)
        copy.close()
        with pytest.raises(Closed):
            detection.result()


def test_a_run_that_cannot_end_without_a_fault_is_named(root: Path) -> None:
    (root / "tests" / "conftest.py").write_text("import os\n\nos._exit(3)\n")
    with pytest.raises(WrongData, match=r"without any fault, no test failed, but .*: tests/test_code\.py::test_double"):
        run_mutants([Mutant("package", "doubled.py", 2, DOUBLED, DOUBLED)], {"package": ["tests"]}, 1)


def test_a_python_fault_has_the_tests_of_its_module() -> None:
    first = next(python_mutants("api", ["app/api/middleware.py"]))()
    assert first.test == "tests/unit/api/test_middleware.py"
    assert next(python_mutants("worker", ["worker/retries.py"]))().test == "tests/unit/worker/test_retries.py"
    assert next(python_mutants("shared", ["app/links.py"]))().test == "tests/unit/test_links.py"
    assert not next(python_mutants("client", ["app/client/call.py"]))().test


def test_a_python_fault_is_described_by_where_it_is() -> None:
    lines = ["class Lease:", "    async def renew(self):", "        def never(): ...", "", "        return self.token"]
    assert faults.scopes(lines, 5) == ["renew", "Lease"]
    assert faults.scopes(lines, 3) == ["never", "renew", "Lease"]
    assert faults.scopes(lines, 1) == ["Lease"]
    described = next(python_mutants("worker", ["worker/retries.py"]))().description
    assert "retries" in described.split()
