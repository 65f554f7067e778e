"""A stack that already runs, on which tests run instead of one of their own.

`scripts/live_copy.py` keeps one emulator for many runs. The contract tests can also run on a stack of `supabase start`.

`supabase status --output json` writes the file that SUPABASE_STATUS names. Start the stack with
SUPABASE_AUTH_JWT_SECRET set to `JWT_SECRET` of tests/support/tasks.py. The tests empty its database.
"""

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from embedded.stack import Ready

EMULATOR = "RUNNING_EMULATOR"
"""The variable that has the ready line of an emulator; it is started with `JWT_SECRET` of tests/support/tasks.py."""

LOCAL = {"127.0.0.1", "localhost"}


def running_emulator() -> Ready | None:
    """The emulator of RUNNING_EMULATOR; None: it is not set."""
    line = os.environ.get(EMULATOR)
    return Ready(**json.loads(line)) if line else None


def running_stack() -> Ready | None:
    """The stack of SUPABASE_STATUS; None: it is not set. Raises `ValueError` for a stack on another machine."""
    file = os.environ.get("SUPABASE_STATUS")
    return ready_from(json.loads(Path(file).read_text(encoding="utf-8"))) if file else None


def ready_from(status: dict[str, str]) -> Ready:
    """The addresses and keys of a status. The connection is the superuser's: tests replace functions."""
    database, api = urlsplit(status["DB_URL"]), urlsplit(status["API_URL"])
    for address in (database, api):
        if address.hostname not in LOCAL:
            raise ValueError(f"SUPABASE_STATUS names {address.hostname}: tests empty the database, so it must be local")
    return Ready(
        url=status["API_URL"],
        service_role_key=status["SERVICE_ROLE_KEY"],
        secret_key=status["SECRET_KEY"],
        anon_key=status["ANON_KEY"],
        database_url=database._replace(netloc=database.netloc.replace("postgres:", "supabase_admin:", 1)).geturl(),
    )
