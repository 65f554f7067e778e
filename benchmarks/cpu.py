"""CPU seconds as the kernel counts them: of a process, and of the emulator's (all of PostgreSQL, and the gateway)."""

import os
from dataclasses import dataclass
from pathlib import Path

import asyncpg

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class StandInCpu:
    """CPU seconds so far."""

    postgres: float
    gateway: float

    def since(self, before: "StandInCpu") -> "StandInCpu":
        """What was used between two readings."""
        return StandInCpu(self.postgres - before.postgres, self.gateway - before.gateway)


class StandInProcesses:
    """Where to read: the server that `database` is connected to, and the process that started it."""

    def __init__(self, database: asyncpg.Connection) -> None:
        self._server = _parent(int(database.get_server_pid()))
        self._gateway = _parent(self._server)

    def cpu(self) -> StandInCpu:
        """CPU seconds so far, those of backends that have ended included."""
        backends = [pid for pid in _processes() if _parent(pid) == self._server]
        server = seconds_of(self._server, children=True) + sum(seconds_of(pid) for pid in backends)
        return StandInCpu(server, seconds_of(self._gateway))


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, from the state on (proc(5)); none if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _parent(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[1]) if fields else 0


def seconds_of(pid: int, *, children: bool = False) -> float:
    """CPU seconds of one process so far; of its ended children too, if asked for."""
    fields = _fields(pid)
    ticks = fields[11:15] if children else fields[11:13]
    return sum(map(int, ticks)) * TICK
