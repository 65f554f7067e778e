"""The boot check, `python -m app.boot`: proves that this installation can start, before anything is deployed on it.

It needs no environment variable and connects only to a closed local port, except for `--schema`, which queries the
configured database. The checks import what they need themselves, so that a missing package fails one check and not
the whole report.
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
MODULES = ("app.main", "app.server", "worker.main")
LIBRARIES = (
    *("supabase", "realtime", "postgrest", "gotrue", "storage3", "supafunc"),
    *("httpx", "httpx_retries", "aiohttp", "uvicorn", "uvloop"),
)
MAX_LISTED_FILES = 5
SAMPLE_KEYS = {
    "a legacy JWT key": "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl",
    "an sb_secret_ key": "sb_secret_boot_check_not_a_key",
}
"""Invalid keys of both forms."""


class CheckFailed(Exception):
    """A check failed; the text says what was found and what to do."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    ok: bool
    detail: str


def check_versions(lock: Path) -> str:
    """Check that the lock has all dependencies of pyproject.toml, and that its exact versions are installed."""
    from app.installation.versions import locked_versions, mismatches, not_locked, pinned_versions, repair_command

    if missing := not_locked(lock):
        listed = ", ".join(map(str, missing))
        raise CheckFailed(f"{lock.name} lacks dependencies of pyproject.toml: {listed}. Update it with: make lock")
    if found := mismatches(lock):
        listed = "; ".join(map(str, found))
        raise CheckFailed(f"{listed}. Repair with: {repair_command(lock)}")
    pins = ", ".join(f"{name} {version}" for name, version in pinned_versions().items())
    return f"{len(locked_versions(lock))} packages as locked; pinned: {pins}"


def check_files(lock: Path) -> str:
    """Check that no file of the lock's packages was altered after its installation."""
    from app.installation.installed_files import altered_files
    from app.installation.versions import locked_versions

    packages = locked_versions(lock)
    if found := altered_files(packages):
        more = f"; and {len(found) - MAX_LISTED_FILES} more" if len(found) > MAX_LISTED_FILES else ""
        raise CheckFailed("; ".join(found[:MAX_LISTED_FILES]) + more + ". Create the environment again.")
    return f"no file of {len(packages)} packages was altered"


def check_imports() -> str:
    """Check that the API, the worker and the client's libraries can be imported."""
    for module in (*LIBRARIES, *MODULES):
        importlib.import_module(module)
    return f"{len(LIBRARIES)} libraries, {', '.join(MODULES)}"


def check_asyncio() -> str:
    """Check that `asyncio` is the standard library's: realtime 2.0.0 also installs an outdated one from PyPI."""
    found = Path(str(asyncio.__file__)).resolve()
    library = Path(sysconfig.get_path("stdlib")).resolve()
    if not found.is_relative_to(library) or "site-packages" in found.parts:
        raise CheckFailed(f"asyncio comes from {found}, not from {library}: check PYTHONPATH")
    return str(found.parent)


def check_client() -> str:
    """Check that the client accepts both kinds of key, raises `SupabaseUnavailable`, and closes without warnings."""
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
    return f"built with {' and with '.join(SAMPLE_KEYS)}; a closed port is SupabaseUnavailable; closed without warnings"


def check_openapi() -> str:
    """Check that the FastAPI app can be built and its OpenAPI document generated."""
    from app.main import create_app

    return f"{len(create_app().openapi()['paths'])} paths described"


def check_templates() -> str:
    """Check that every page's template compiles; a process compiles it when it renders the page for the first time."""
    from app.pages.rendering import PageRenderer
    from app.pages.static_files import StaticFiles

    return f"{PageRenderer(StaticFiles()).compile_all()} templates compiled"


def check_schema() -> str:
    """Check that the configured database has the schema that this code needs."""
    from app.config import SupabaseSettings, load_settings
    from app.persistence.schema import NEEDED_VERSION

    asyncio.run(_require_schema(load_settings(SupabaseSettings)))
    return f"the database has schema version {NEEDED_VERSION} or a later one"


def run_checks(lock: Path, *, files: bool = False, schema: bool = False) -> list[Finding]:
    """Run all checks, even after a failure; `files` and `schema` add the slow one and the one that needs a database."""
    checks: dict[str, Callable[[], str]] = {
        "versions": lambda: check_versions(lock),
        **({"files": lambda: check_files(lock)} if files else {}),
        "imports": check_imports,
        "asyncio": check_asyncio,
        "client": check_client,
        "openapi": check_openapi,
        "templates": check_templates,
        **({"schema": check_schema} if schema else {}),
    }
    return [_run(name, check) for name, check in checks.items()]


def main(arguments: list[str] | None = None) -> int:
    """Print one line per check and a summary; returns 0 if all passed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m app.boot", description="Prove that this installation can start.")
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock", help="compare with this lock")
    parser.add_argument("--files", action="store_true", help="compare every installed file with its package's RECORD")
    parser.add_argument("--schema", action="store_true", help="check the schema of the database at SUPABASE_URL too")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    options = parser.parse_args(arguments)
    # gotrue warns about its new name when it is imported; every other warning is a finding.
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
    except Exception as error:  # noqa: BLE001  (every error is a finding, not a crash of the check)
        return Finding(name, False, f"{type(error).__name__}: {error}")


def _expect_unavailable(settings: "SupabaseSettings", kind: str) -> None:
    from app.errors import SupabaseUnavailable

    try:
        version = asyncio.run(_read_schema_version(settings))
    except SupabaseUnavailable:
        return
    raise CheckFailed(f"with {kind}, a closed port returned {version}")


async def _read_schema_version(settings: "SupabaseSettings") -> int:
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
