"""Runs of pytest in forks: each has the imported tests, its own variables, output and status."""

import json
import os
import subprocess
import sys
from pathlib import Path

from scripts.faults import ROOT

TESTS = """
import os

SEEN = []

def test_the_runs_share_only_what_was_imported():
    SEEN.append(os.environ["NUMBER"])
    assert SEEN == ["1"]
"""


def test_each_run_is_a_fork_with_its_own_status(tmp_path: Path) -> None:
    (tmp_path / "test_runs.py").write_text(TESTS)
    command = [sys.executable, "-m", "scripts.warm_pytest", str(tmp_path / "output"), str(tmp_path)]
    runs = [{"arguments": [str(tmp_path)], "environment": {"NUMBER": number}} for number in ("1", "1", "2")]
    requests = "".join(json.dumps(run) + "\n" for run in runs)
    # pytest's plugins, and the options of this run, are not under test; importing the plugins takes a second.
    without = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    served = subprocess.run(command, cwd=ROOT, env=without, input=requests, capture_output=True, text=True, check=True)
    assert served.stdout == "0\n0\n1\n"
    assert "assert ['2'] == ['1']" in (tmp_path / "output").read_text()
