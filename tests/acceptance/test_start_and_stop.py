"""The API as a process: silent under -X dev -W error, honest about bad settings, exit 0 on SIGTERM."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

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


POST = b"POST /v1/fetches HTTP/1.1\r\nhost: a\r\nx-api-key: " + b"k" * 16 + b"\r\ncontent-length: 100\r\n\r\n{"


def connect(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def resident(process: subprocess.Popen[str]) -> int:
    """What a process holds in memory, in bytes."""
    pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def test_two_hundred_megabytes_of_headers_cost_nothing() -> None:
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
def test_sigterm_does_not_wait_for_half_a_request(sent: bytes) -> None:
    with api_process(**SETTINGS) as process:
        address = address_from_log(process, [])
        with connect(address) as connection:
            connection.sendall(sent)
            with urllib.request.urlopen(f"{address}/healthz"):  # noqa: S310  (loopback; what came before was read)
                pass
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            assert time.monotonic() - begin < 8
            said = connection.recv(100_000)
    assert said.startswith(b"HTTP/1.1 503") == (sent != b"")


def test_the_metrics_port_needs_no_key_and_the_callers_port_does() -> None:
    with api_process(**SETTINGS, METRICS_PORT="0") as process:
        log: list[str] = []
        address = address_from_log(process, log)
        assert process.stderr is not None
        line = next(line for line in process.stderr if "health and metrics on" in line)
        private = "http://" + line.partition("metrics on http://")[2].partition('"')[0]
        with urllib.request.urlopen(f"{private}/metrics") as answer:  # noqa: S310  (loopback)
            assert b"broadsheet_database_up 0.0" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}/metrics")  # noqa: S310  (loopback)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{private}/v1/tasks")  # noqa: S310  (loopback)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def ended(module: str, settings: dict[str, str], folder: Path = ROOT) -> tuple[int, str]:
    """Exit status and standard error of a process that cannot start."""
    environment = {"PATH": os.environ["PATH"], **SETTINGS} | settings
    command = [sys.executable, "-m", module]
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return result.returncode, result.stderr


@pytest.mark.parametrize(("module", "setting"), [("app", "PORT"), ("app", "METRICS_PORT"), ("worker", "WORKER_PORT")])
def test_a_taken_port_ends_with_one_message(module: str, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, said = ended(module, {setting: port})
    assert status == 1
    assert f"{setting} is {port}: cannot listen on 127.0.0.1: Address already in use" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code and what lies beside it, as in the image, to be damaged."""
    folder = tmp_path_factory.mktemp("installation")
    for room in ("app", "worker"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("module", ["app", "worker"])
@pytest.mark.parametrize(
    ("damaged", "content"),
    [
        ("pyproject.toml", None),
        ("pyproject.toml", b"\xff"),
        ("requirements.lock", None),
        ("requirements.lock", b"\xff"),
    ],
)
def test_what_cannot_be_read_ends_with_one_message(
    damaged: str, content: bytes | None, module: str, installation: Path
) -> None:
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copyfile(ROOT / name, installation / name)
    (installation / damaged).unlink()
    if content is not None:
        (installation / damaged).write_bytes(content)
    status, said = ended(module, {}, installation)
    assert status == 1
    assert str(installation / damaged) in said
    assert "put it beside the code" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("module", ["app", "worker"])
def test_a_secret_that_signs_nothing_ends_with_one_message(module: str) -> None:
    status, said = ended(module, {"WEBHOOK_SECRET": "whsec_not-base64"})
    assert (status, "Traceback" in said, "not-base64" in said) == (1, False, False)
    assert "WEBHOOK_SECRET is set to a value that is not shown" in said
