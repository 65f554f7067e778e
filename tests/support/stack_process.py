"""The emulator as its own process: started on a free port, awaited, stopped by pid."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from app.config import SupabaseSettings
from embedded.stack import Ready

ROOT = Path(__file__).parents[2]


class StackProcess:
    """`python -m embedded serve` over one folder; restarts keep the port.

    `through` is a command that runs another, as `setpriv ...` does.
    """

    def __init__(
        self,
        data: Path,
        migrations: Path,
        *,
        port: int = 0,
        durable: bool = False,
        through: Sequence[str] = (),
        binaries: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.data = data
        self._migrations = migrations
        self._port = port
        self._durable = durable
        self._through = through
        self._binaries = binaries
        self._arguments = arguments
        self.process: subprocess.Popen[str] | None = None

    @contextmanager
    def running(self) -> Iterator[Ready]:
        """Start it, yield its connection data, stop it."""
        ready = self.start()
        try:
            yield ready
        finally:
            self.stop()

    def start(self) -> Ready:
        """Start and wait for its ready line; if there is none, the error has the process's output."""
        command = [
            *self._through,
            sys.executable,
            "-m",
            "embedded",
            "serve",
            "--data",
            str(self.data),
            "--port",
            str(self._port),
        ]
        command += ["--migrations", str(self._migrations), *([] if self._durable else ["--no-durable"])]
        command += [*(["--binaries", str(self._binaries)] if self._binaries else []), *self._arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, text = self.process.communicate()
            raise AssertionError(text)
        ready = Ready(**json.loads(line))
        self._port = int(ready.url.rpartition(":")[2])
        if not self._durable:
            end_autovacuum(ready.database_url)
        return ready

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit status."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.communicate()
        return self.process.returncode


def end_autovacuum(database_url: str) -> None:
    """Stop the server's own vacuum and analyze: they take CPU time, and change plans at a random moment of a test."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("alter system set autovacuum = off")
        connection.execute("select pg_reload_conf()")


def postgres_over(data: Path) -> list[int]:
    """The PostgreSQL servers (not their children) of an emulator's folder, found by their command lines."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(data / "cluster") in arguments:
            found.append(int(entry.parent.name))
    return found


def settings_for(ready: Ready, key: str | None = None) -> SupabaseSettings:
    """Settings for the emulator, with the secret key unless another is given."""
    return SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": key or ready.secret_key})
