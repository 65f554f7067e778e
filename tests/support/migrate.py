"""Runs `make migrate`'s program as deployers do."""

import os
import subprocess
import sys

from scripts.migrate import ROOT


def migrate(database_url: str | None) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"DATABASE_URL": database_url} if database_url is not None else {}
    command = [sys.executable, "-m", "scripts.migrate"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
