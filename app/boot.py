"""The boot check, `python -m app.boot`: proves that this installation can start, before anything is deployed on it.

It needs no environment variable and reaches nothing but a closed port of this machine, but for `--schema`, which asks
the database that the environment names. Whatever it checks is imported inside the checks, so that a missing package
fails one line of the report and not the report.
"""

import argparse
import asyncio
import gc
import importlib
import json
import socket
import sys
import sysconfig
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import BroadsheetError

if TYPE_CHECKING:
    from app.config import SupabaseSettings

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("app.main", "app.__main__", "worker.__main__")
LIBRARIES = (
    *("supabase", "realtime", "postgrest", "gotrue", "storage3", "supafunc"),
    *("httpx", "httpx_retries", "aiohttp", "uvicorn", "uvloop"),
)
SHOWN_FILES = 5
SAMPLE_KEYS = {
    "a legacy JWT key": "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl",
    "an sb_secret_ key": "sb_secret_boot_check_not_a_key",
}
"""Keys of both shapes that open nothing."""


class CheckFailed(Exception):
    """A check did not pass; the text says what was found and what to do."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    ok: bool
    detail: str


def check_versions(lock: Path) -> str:
    """The lock has all that pyproject.toml names, and all of it is installed in exactly that version."""
    from app.versions import locked_versions, mismatches, not_locked, pinned_versions, repair_command

    if missing := not_locked(lock):
        wanted = ", ".join(map(str, missing))
        raise CheckFailed(f"{lock.name} lacks what pyproject.toml names: {wanted}. Resolve it anew with: make lock")
    if found := mismatches(lock):
        listed = "; ".join(map(str, found))
        raise CheckFailed(f"{listed}. Repair with: {repair_command(lock)}")
    pins = ", ".join(f"{name} {version}" for name, version in pinned_versions().items())
    return f"{len(locked_versions(lock))} packages as locked; pinned: {pins}"


def check_files(lock: Path) -> str:
    """Every file of the lock's packages is the one that was installed."""
    from app.installed_files import altered_files
    from app.versions import locked_versions

    packages = locked_versions(lock)
    if found := altered_files(packages):
        more = f"; and {len(found) - SHOWN_FILES} more" if len(found) > SHOWN_FILES else ""
        raise CheckFailed("; ".join(found[:SHOWN_FILES]) + more + ". Build the environment anew.")
    return f"all files of {len(packages)} packages are as they were installed"


def check_imports() -> str:
    """The API, the worker and the client's libraries can be imported."""
    for module in (*LIBRARIES, *MODULES):
        importlib.import_module(module)
    return f"{len(LIBRARIES)} libraries, {', '.join(MODULES)}"


def check_asyncio() -> str:
    """The `asyncio` in use is the standard library's: realtime 2.0.0 installs an ancient one from PyPI beside it."""
    found = Path(str(asyncio.__file__)).resolve()
    library = Path(sysconfig.get_path("stdlib")).resolve()
    if not found.is_relative_to(library) or "site-packages" in found.parts:
        raise CheckFailed(f"asyncio comes from {found}, not from {library}: see what PYTHONPATH puts in front of it")
    return str(found.parent)


def check_client() -> str:
    """The client is built with both kinds of key, fails as it should at a closed port, and closes silently."""
    from app.config import SupabaseSettings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind, key in SAMPLE_KEYS.items():
            address = f"http://127.0.0.1:{_closed_port()}"
            settings = SupabaseSettings.model_validate(
                {"supabase_url": address, "supabase_key": key, "supabase_retries": 0},
            )
            _expect_unavailable(settings, kind)
        gc.collect()  # an unclosed connection warns when it is collected
    return f"built with {' and with '.join(SAMPLE_KEYS)}; a closed port is SupabaseUnavailable; closed silently"


def check_openapi() -> str:
    """The FastAPI app is built and describes itself."""
    from app.main import create_app

    return f"{len(create_app().openapi()['paths'])} paths described"


def check_schema() -> str:
    """The database that the environment names has the schema that this code needs."""
    from app.config import SupabaseSettings, load_settings
    from app.persistence.schema import NEEDED_VERSION

    asyncio.run(_require_schema(load_settings(SupabaseSettings)))
    return f"the database has schema version {NEEDED_VERSION} or a later one"


def run_checks(lock: Path, *, files: bool = False, schema: bool = False) -> list[Finding]:
    """Run every check, also after one has failed; with `files` and `schema` those that take long or need a database."""
    checks: dict[str, Callable[[], str]] = {
        "versions": lambda: check_versions(lock),
        **({"files": lambda: check_files(lock)} if files else {}),
        "imports": check_imports,
        "asyncio": check_asyncio,
        "client": check_client,
        "openapi": check_openapi,
        **({"schema": check_schema} if schema else {}),
    }
    return [_run(name, check) for name, check in checks.items()]


def main(arguments: list[str] | None = None) -> int:
    """Print one line per check and a verdict; 0 if all passed, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m app.boot", description="Prove that this installation can start.")
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock", help="compare with this lock")
    parser.add_argument("--files", action="store_true", help="compare every installed file with its package's RECORD")
    parser.add_argument("--schema", action="store_true", help="ask the database of SUPABASE_URL for its schema too")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    options = parser.parse_args(arguments)
    # gotrue announces its new name at import; everything else that warns is a finding.
    warnings.filterwarnings("ignore", message="The `gotrue` package is deprecated", category=DeprecationWarning)
    findings = run_checks(options.lock, files=options.files, schema=options.schema)
    ok = all(finding.ok for finding in findings)
    if options.json:
        _print(json.dumps({"ok": ok, "checks": [asdict(finding) for finding in findings]}))
    else:
        for finding in findings:
            _print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.check:<9} {finding.detail}")
        _print("boot check passed" if ok else "boot check FAILED: this installation must not be started or deployed")
    return 0 if ok else 1


def _run(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except CheckFailed as error:
        return Finding(name, False, str(error))
    except BroadsheetError as error:
        return Finding(name, False, " ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001  (whatever stops a start is a finding, not a crash of the check)
        return Finding(name, False, f"{type(error).__name__}: {error}")


def _expect_unavailable(settings: "SupabaseSettings", kind: str) -> None:
    from app.errors import SupabaseUnavailable

    try:
        version = asyncio.run(_ask_schema_version(settings))
    except SupabaseUnavailable:
        return
    raise CheckFailed(f"with {kind}, a closed port answered {version}")


async def _ask_schema_version(settings: "SupabaseSettings") -> int:
    from app.client.factory import open_supabase
    from app.persistence.schema import Schema

    async with open_supabase(settings) as client:
        return await Schema(client).version()


async def _require_schema(settings: "SupabaseSettings") -> None:
    from app.client.factory import open_supabase
    from app.persistence.schema import Schema

    async with open_supabase(settings) as client:
        await Schema(client).require()


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
