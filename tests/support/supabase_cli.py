"""The Supabase CLI, which `npm ci` installs in the repository."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def supabase_cli() -> Path | None:
    """The program that package-lock.json pins; None: it is not installed."""
    found = ROOT / "node_modules" / ".bin" / "supabase"
    return found if found.exists() and shutil.which("node") else None


class SupabaseCli:
    """Runs commands of the CLI on one database, with its own home and without a terminal."""

    def __init__(self, program: Path, project: Path, home: Path, database_url: str) -> None:
        self._program = program
        self._project = project
        # The emulator has no TLS.
        self._url = f"{database_url}?sslmode=disable"
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self._environment = kept | {"HOME": str(home), "SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self._program), *arguments, "--workdir", str(self._project), "--db-url", self._url]
        return subprocess.run(
            command, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
