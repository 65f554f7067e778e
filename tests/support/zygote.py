"""`python -m tests.support.zygote FD`: forks the service's processes from one that has imported all modules.

Importing them takes a second of CPU time, which is most of the time of many tests. A fork runs the same as a new
process: with its environment, arguments and standard error, it executes the module as a program. It inherits what each
process reads at its start, and collects no garbage among the inherited objects, which would copy their memory. Tests of
the start itself, and of what a process keeps in memory, start a new Python.

A request is a JSON message on the socket `FD`. `{"start": [module, ...], "environment": {...}}` with a descriptor for
standard error returns the pid; `{"wait": pid}` returns the exit status.
"""

import gc
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any

from app.installation.versions import require_locked_versions
from app.pages.routes import pages_router
from tests.support.counted_program import run_counted

PROGRAMS = ("app.server", "worker.main")


def main(descriptor: int) -> None:
    """Take orders until the other side closes; returns in each child, after it has ended as a program does."""
    for program in PROGRAMS:
        importlib.import_module(program)
    read_once()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as orders:
        born = serve(orders)
    if born is not None:
        run(*born)


def read_once() -> None:
    """Read what a process keeps as long as it lives: the installed versions, static files and templates.

    They take two thirds of the CPU time of a forked API.
    """
    require_locked_versions()
    pages_router()


def serve(orders: socket.socket) -> tuple[dict[str, Any], int] | None:
    """Take orders; returns None when the other side closes, and in a child the ordered program."""
    while True:
        data, descriptors, *_ = socket.recv_fds(orders, 65_536, 1)
        if not data:
            return None
        order: dict[str, Any] = json.loads(data)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        elif answer := os.fork():
            os.close(descriptors[0])
        else:
            return order, descriptors[0]
        orders.send(str(answer).encode())


def run(order: dict[str, Any], standard_error: int) -> None:
    """Run the ordered program in this process."""
    os.dup2(standard_error, 2)
    os.close(standard_error)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["environment"])
    run_counted(*order["start"])


if __name__ == "__main__":
    main(int(sys.argv[1]))
