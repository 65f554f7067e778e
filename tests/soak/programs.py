"""The service's processes in a soak: real ones, whose logs go to files that are searched at the end."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.stack_process import ROOT

_POLL = 0.1


@dataclass
class Program:
    """`python -m module`, started again after each end with the same settings; `ready` is a text of its log."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    ready: str
    ends: list[int] = field(default_factory=list)
    """The exit status of each end."""
    _process: asyncio.subprocess.Process | None = None
    _read: int = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait for the text `ready`."""
        with self.log.open("ab") as log:
            self._read = log.tell()
            command = (sys.executable, "-m", *self.arguments)
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        while self.ready not in self.news():
            if self._process.returncode is not None:
                raise AssertionError(f"{self.name} ended with {self._process.returncode}:\n{self.news()[-2_000:]}")
            await asyncio.sleep(_POLL)

    def news(self) -> str:
        """Return what it has logged since its start."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            return log.read(1_000_000).decode(errors="replace")

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(how)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end; returns the exit status."""
        assert self._process is not None
        self.ends.append(await self._process.wait())
        return self.ends[-1]

    async def ended_within(self, seconds: float) -> bool:
        """Whether it ends within some seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended()
                return True
        return False

    async def freeze(self, seconds: float) -> None:
        """Stop it for some seconds, as a machine that stands still does."""
        await freeze([self.pid], seconds)


async def freeze(pids: list[int], seconds: float) -> None:
    """Stop processes, wait, continue them."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process started, from Linux."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found
