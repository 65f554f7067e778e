"""Ends a process when its parent ends, also when the parent is killed by SIGKILL."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
CHECK_INTERVAL = 0.5
"""Seconds between two checks of the parent on systems whose kernel does not report its end."""


def signal_at_parent_death(number: signal.Signals) -> None:
    """Make the kernel send signal `number` to this process when its parent ends. On Linux only; else does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def end_with(parent: int, *, kernel: bool = sys.platform == "linux") -> None:
    """Send SIGTERM to this process when the process `parent`, which started it, ends.

    Without `kernel` support, a timer checks the parent in a signal handler, because the service uses no threads.
    """
    if kernel:
        signal_at_parent_death(signal.SIGTERM)
    else:
        signal.signal(signal.SIGALRM, lambda *_: _check(parent))
        signal.setitimer(signal.ITIMER_REAL, CHECK_INTERVAL, CHECK_INTERVAL)
    # The parent may have ended before the call above.
    _check(parent)


def _check(parent: int) -> None:
    if os.getppid() != parent:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.kill(os.getpid(), signal.SIGTERM)
