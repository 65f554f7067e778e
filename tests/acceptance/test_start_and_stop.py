"""The API as a process: silent under -X dev -W error, honest about bad settings, exit 0 on SIGTERM."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
STRICT = ("-X", "dev", "-W", "error", "-W", "ignore:The `gotrue` package is deprecated:DeprecationWarning")


@contextmanager
def api_process(**settings: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, *STRICT, "-m", "app"]
    environment = {"PATH": os.environ["PATH"], "ENVIRONMENT": "production", **settings}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def address_from_log(process: subprocess.Popen[str], log: list[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        log.append(line)
        if "running on http://" in line:
            return "http://" + line.partition("running on http://")[2].split()[0]
    raise AssertionError("".join(log))


def test_starts_serves_and_stops_silently() -> None:
    log: list[str] = []
    settings = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_KEY": "sb_secret_x", "API_KEYS": "k" * 16, "PORT": "0"}
    with api_process(**settings) as process:
        address = address_from_log(process, log)
        with urllib.request.urlopen(f"{address}/healthz") as answer:  # noqa: S310  (loopback)
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        log += process.stderr.readlines()
        assert process.wait() == 0
    # Slow callbacks, which asyncio's debug mode reports, only say how busy this machine is.
    unexpected = [line for line in log if not line.startswith("{") and not line.startswith("Executing <")]
    assert unexpected == []
    trouble = [line for line in log if '"level": "warning"' in line or '"level": "error"' in line]
    assert [line for line in trouble if '"logger": "asyncio"' not in line] == []


def test_bad_settings_end_with_one_message() -> None:
    with api_process(SUPABASE_URL="nonsense", PORT="eighty") as process:
        _, message = process.communicate()
        assert process.returncode == 1
    assert message.startswith("Broadsheet cannot start: 4 settings are wrong.")
    assert all(name in message for name in ("SUPABASE_URL", "SUPABASE_KEY", "API_KEYS", "PORT"))
    assert "Traceback" not in message
