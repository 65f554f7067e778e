"""Ends a process with its parent, however the parent ends: also by SIGKILL, which lets it say nothing."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EVERY = 0.5
"""Seconds between two looks at the parent where the kernel does not tell."""


def signal_at_parent_death(wanted: signal.Signals) -> None:
    """Have the kernel send `wanted` to this process when its parent ends; does nothing elsewhere than on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, wanted)


def end_with(parent: int, *, kernel: bool = sys.platform == "linux") -> None:
    """Have this process get SIGTERM when the process `parent`, which started it, ends.

    Without the `kernel`'s help, a timer looks at the parent: a signal handler, for a thread would be the service's
    first.
    """
    if kernel:
        signal_at_parent_death(signal.SIGTERM)
    else:
        signal.signal(signal.SIGALRM, lambda *_: _look(parent))
        signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
    # It may have ended before the kernel was asked.
    _look(parent)


def _look(parent: int) -> None:
    if os.getppid() != parent:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.kill(os.getpid(), signal.SIGTERM)
