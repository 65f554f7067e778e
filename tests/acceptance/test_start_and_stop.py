"""The API as a process: silent under -X dev -W error, clear errors for invalid settings, exit 0 on SIGTERM."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from tests.support.processes import API_KEY, API_SETTINGS, ServiceProcess, start_api

ROOT = Path(__file__).parents[2]
SETTINGS = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_KEY": "sb_secret_x", "API_KEYS": "k" * 16, "PORT": "0"}
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
            return "http://" + line.partition("running on http://")[2].partition('"')[0]
    raise AssertionError("".join(log))


def test_starts_serves_and_stops_silently() -> None:
    log: list[str] = []
    with api_process(**SETTINGS) as process:
        address = address_from_log(process, log)
        with urllib.request.urlopen(f"{address}/healthz") as answer:  # noqa: S310  (loopback)
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        log += process.stderr.readlines()
        assert process.wait() == 0
    # asyncio's debug mode reports slow callbacks, which depend only on the load of this machine.
    unexpected = [line for line in log if not line.startswith("{") and not line.startswith("Executing <")]
    assert unexpected == []
    trouble = [line for line in log if '"level": "warning"' in line or '"level": "error"' in line]
    assert [line for line in trouble if '"logger": "asyncio"' not in line] == []


async def test_bad_settings_end_with_one_message() -> None:
    process = ServiceProcess("app", "nonsense", "no key", PORT="eighty")
    with pytest.raises(AssertionError, match="ended before"):
        await process.start("what never comes")
    assert await process.ended() == 1
    message = "".join(process.text)
    assert message.startswith("Broadsheet cannot start: 4 settings are invalid.")
    assert all(name in message for name in ("SUPABASE_URL", "SUPABASE_KEY", "API_KEYS", "PORT"))
    assert "Traceback" not in message


POST = b"POST /v1/fetches HTTP/1.1\r\nhost: a\r\nx-api-key: " + API_KEY.encode() + b"\r\ncontent-length: 100\r\n\r\n{"


def connect(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def resident(process: subprocess.Popen[str]) -> int:
    """What a process holds in memory, in bytes."""
    pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def test_two_hundred_megabytes_of_headers_use_no_memory() -> None:
    with api_process(**SETTINGS) as process:
        address = address_from_log(process, [])
        before = resident(process)
        with connect(address) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n")
            with suppress(ConnectionError):
                for _ in range(2000):
                    connection.sendall((b"a: " + b"b" * 996 + b"\r\n") * 100)
        assert resident(process) - before < 20_000_000
        with urllib.request.urlopen(f"{address}/healthz") as answer:  # noqa: S310  (loopback)
            assert answer.status == 200


@pytest.mark.parametrize("sent", [b"", b"GET /hea", POST], ids=["nothing", "half a head", "half a body"])
async def test_sigterm_does_not_wait_for_an_incomplete_request(sent: bytes) -> None:
    async with forked_api() as (process, address):
        with connect(address) as connection:
            connection.sendall(sent)
            await get(f"{address}/healthz")  # everything sent before was read
            begin = time.monotonic()
            assert await process.stop() == 0
            assert time.monotonic() - begin < 8
            output = connection.recv(100_000)
    assert output.startswith(b"HTTP/1.1 503") == (sent != b"")


async def test_metrics_need_a_key_except_on_the_metrics_port() -> None:
    async with forked_api(METRICS_PORT="0") as (process, address):
        record = await process.logged("health and metrics on")
        private = "http://" + str(record["event"]).partition("metrics on http://")[2]
        assert "broadsheet_database_up 0.0" in (await get(f"{private}/metrics")).text
        assert (await get(f"{address}/metrics")).status_code == HTTPStatus.UNAUTHORIZED
        assert (await get(f"{private}/v1/tasks")).status_code == HTTPStatus.NOT_FOUND
        assert await process.stop() == 0


@asynccontextmanager
async def forked_api(**settings: str) -> AsyncIterator[tuple[ServiceProcess, str]]:
    process = ServiceProcess("app", SETTINGS["SUPABASE_URL"], SETTINGS["SUPABASE_KEY"], **API_SETTINGS, **settings)
    yield process, await start_api(process)


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.get(url)


async def refused(module: str, **settings: str) -> str:
    """The standard error of a process that cannot start."""
    process = ServiceProcess(module, SETTINGS["SUPABASE_URL"], SETTINGS["SUPABASE_KEY"], **(API_SETTINGS | settings))
    with pytest.raises(AssertionError, match="ended before"):
        await process.start("what never comes")
    assert await process.ended() == 1
    counts = ("clients made", "objects kept", "threads started", "modules of the tracing SDK")
    return "".join(line for line in process.text if not line.startswith(counts))


@pytest.mark.parametrize(("module", "setting"), [("app", "PORT"), ("app", "METRICS_PORT"), ("worker", "WORKER_PORT")])
async def test_a_taken_port_ends_with_one_message(module: str, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        output = await refused(module, **{setting: port})
    assert f"{setting} is {port}: cannot listen on 127.0.0.1: Address already in use" in output
    assert "Traceback" not in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize("module", ["app", "worker"])
async def test_an_invalid_webhook_secret_ends_with_one_message(module: str) -> None:
    output = await refused(module, WEBHOOK_SECRET="whsec_not-base64")
    assert ("Traceback" in output, "not-base64" in output) == (False, False)
    assert "WEBHOOK_SECRET is set to a secret value" in output


# tests/unit/test_boot.py has all other cases of an unreadable package.
@pytest.mark.parametrize(
    ("module", "damaged", "content"), [("app", "pyproject.toml", b"\xff"), ("worker", "requirements.lock", None)]
)
def test_an_unreadable_project_file_ends_with_one_message(
    module: str, damaged: str, content: bytes | None, tmp_path: Path
) -> None:
    for package in ("app", "worker"):
        shutil.copytree(ROOT / package, tmp_path / package)
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / damaged).unlink()
    if content is not None:
        (tmp_path / damaged).write_bytes(content)
    command, environment = [sys.executable, "-m", module], {"PATH": os.environ["PATH"], **SETTINGS}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert str(tmp_path / damaged) in result.stderr
    assert "put it beside the code" in result.stderr
    assert "Traceback" not in result.stderr
