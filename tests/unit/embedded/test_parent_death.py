"""A process ends with its parent, by a signal of the kernel or by polling."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHILD = """
import os, signal, sys
from embedded.parent_death import end_with
signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
parent = os.getppid()
print("ready", flush=True)
{before}
end_with(parent, kernel={kernel})
print("armed", flush=True)
while True:
    signal.pause()
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
sys.stdin.read()
"""


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("before", ["", "sys.stdin.read()"], ids=["armed in time", "too late"])
def test_a_child_ends_after_its_parent(kernel: bool, before: str) -> None:
    if kernel and sys.platform != "linux":
        pytest.skip("only Linux tells")
    child = CHILD.format(kernel=kernel, before=before)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, child],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stderr is not None
    assert parent.stdout.readline() == b"ready\n"
    if not before:
        assert parent.stdout.readline() == b"armed\n"
    parent.kill()
    parent.wait()
    if parent.stdin is not None:
        parent.stdin.close()
    # The child holds these pipes until it ends.
    assert parent.stderr.read() == b"told to end\n"
    parent.stdout.close()
    parent.stderr.close()
