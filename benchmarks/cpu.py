"""CPU seconds from the kernel: of one process, and of the emulator (all of PostgreSQL, and the gateway)."""

import os
from dataclasses import dataclass
from pathlib import Path

import asyncpg

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class EmulatorCpu:
    """CPU seconds so far."""

    postgres: float
    gateway: float

    def since(self, before: "EmulatorCpu") -> "EmulatorCpu":
        """The difference to an earlier reading."""
        return EmulatorCpu(self.postgres - before.postgres, self.gateway - before.gateway)


class EmulatorProcesses:
    """The processes to measure: the PostgreSQL server of `database`, and the gateway process that started it."""

    def __init__(self, database: asyncpg.Connection) -> None:
        self._server = _parent(int(database.get_server_pid()))
        self._gateway = _parent(self._server)

    def cpu(self) -> EmulatorCpu:
        """CPU seconds so far, including those of ended backends."""
        backends = [pid for pid in _processes() if _parent(pid) == self._server]
        server = seconds_of(self._server, children=True) + sum(seconds_of(pid) for pid in backends)
        return EmulatorCpu(server, seconds_of(self._gateway))


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name (proc(5)); empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _parent(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[1]) if fields else 0


def seconds_of(pid: int, *, children: bool = False) -> float:
    """CPU seconds of one process so far; with `children`, also those of its ended children."""
    fields = _fields(pid)
    ticks = fields[11:15] if children else fields[11:13]
    return sum(map(int, ticks)) * TICK
