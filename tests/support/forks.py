"""The test's side of `tests.support.zygote`: starts processes of the service in milliseconds."""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Fork:
    """A running process: its pid, its standard error, and its exit status after its end."""

    def __init__(self, pid: int, output: asyncio.StreamReader, pipe: asyncio.BaseTransport) -> None:
        self.pid = pid
        self.output = output
        self.returncode: int | None = None
        self._pipe = pipe
        self._descriptor = os.pidfd_open(pid)
        self._ending = asyncio.create_task(self._end())

    def send_signal(self, how: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if not self._ending.done():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, how)

    async def wait(self) -> int:
        """Wait until it has ended; returns its exit status, which is negative for a signal's number."""
        return await asyncio.shield(self._ending)

    async def _end(self) -> int:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(self._descriptor, ended.set)
        try:
            await ended.wait()
        except asyncio.CancelledError:
            # The test has failed, and nothing reads the pipe.
            self._pipe.close()
            raise
        finally:
            loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
        self.returncode = _ordered({"wait": self.pid})
        return self.returncode


async def fork(*arguments: str, environment: Mapping[str, str]) -> Fork:
    """Start a module as a program: its name and its arguments."""
    reading, writing = os.pipe()
    try:
        pid = _ordered({"start": arguments, "environment": environment}, writing)
    finally:
        os.close(writing)
    output, loop = asyncio.StreamReader(), asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(output), os.fdopen(reading, "rb", 0))
    return Fork(pid, output, pipe)


class LoggedFork:
    """A running process for synchronous tests: its standard error goes to a file, and not into a pipe that fills up."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], log: int) -> None:
        self._pid = _ordered({"start": arguments, "environment": environment}, log)
        self._descriptor = os.pidfd_open(self._pid)

    def has_ended(self) -> bool:
        """Whether it has ended."""
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def stop(self) -> int:
        """Send SIGTERM, wait until it has ended, and return its exit status."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGTERM)
        os.close(self._descriptor)
        return _ordered({"wait": self._pid})


class Zygote:
    """The process that forks, and the socket on which it takes orders."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.support.zygote", str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])

    def answer(self, order: Mapping[str, Any], *descriptors: int) -> int:
        """Its response to an order."""
        socket.send_fds(self._orders, [json.dumps(order).encode()], descriptors)
        if not (answer := self._orders.recv(100)):
            raise AssertionError("tests.support.zygote has ended: its output is above")
        return int(answer)

    def end(self) -> None:
        """End it and wait for its end."""
        self._orders.close()
        self._process.wait()


_kept: list[Zygote] = []


def end_zygote() -> None:
    """End this process's zygote, if there is one."""
    while _kept:
        _kept.pop().end()


def _ordered(order: Mapping[str, Any], *descriptors: int) -> int:
    if not _kept:
        _kept.append(Zygote())
    return _kept[0].answer(order, *descriptors)
