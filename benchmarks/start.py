"""Start: seconds from exec to ready, and memory of each process, which must fit the smallest machines.

A one-shot run with nothing to do (`python -m worker --once`) is measured from exec to exit, against the emulator.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from benchmarks.processes import child, emulator, resident_mb
from benchmarks.report import ROOT, save, show, verdict
from benchmarks.stub import running
from embedded.loopback import free_port

REPEATS = 3
AIM_READY_S, AIM_ONCE_S, AIM_MEMORY_MB = 1.0, 1.5, 120
POLL = 0.005
PROCESSES = (("API", "app", "PORT", "/readyz"), ("worker", "worker", "WORKER_PORT", "/healthz"))


def environment(address: str, key: str = "legacy.jwt.key") -> dict[str, str]:
    """The settings that both processes need, without this machine's environment."""
    return {
        "PATH": os.environ["PATH"],
        "SUPABASE_URL": address,
        "SUPABASE_KEY": key,
        "API_KEYS": "benchmark-key-0123456789",
        "ENVIRONMENT": "production",
        "DAILY_FETCH_AT": "off",
    }


def until_answered(url: str) -> None:
    """Poll `url` until it responds with success."""
    with httpx.Client(trust_env=False) as http:
        while True:
            try:
                if http.get(url).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(POLL)


def started(module: str, variable: str, path: str, address: str) -> tuple[float, float]:
    """Start a process; returns the seconds until `path` responds with success, and the resident memory then in MB."""
    port = free_port()
    begin = time.perf_counter()
    with child(module, env=environment(address) | {variable: str(port)}, quiet=True) as process:
        until_answered(f"http://127.0.0.1:{port}{path}")
        return time.perf_counter() - begin, resident_mb(process.pid)


def seconds_of(*command: str, env: Mapping[str, str] | None = None) -> float:
    """The seconds of `python -m command`, from exec to exit. Raises `CalledProcessError` if it fails."""
    begin = time.perf_counter()
    quiet = subprocess.DEVNULL
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=env, check=True, stdout=quiet, stderr=quiet)
    return time.perf_counter() - begin


def one_shot_runs() -> list[float]:
    """The seconds of each one-shot run without readers, on a project that runs already."""
    with emulator() as ready:
        env = environment(ready.url, ready.secret_key)
        return [seconds_of("worker", "--once", env=env) for _ in range(REPEATS)]


def measure() -> dict[str, Any]:
    """Measure each start `REPEATS` times, in turns; returns medians."""
    ready: dict[str, list[float]] = {"API": [], "worker": []}
    memory: dict[str, list[float]] = {"API": [], "worker": []}
    checks = []
    # Compile first, as the image does, so that writing bytecode is not measured.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "app", "worker"], cwd=ROOT, check=True)
    with running(0.0) as address:
        for _ in range(REPEATS):
            for name, module, variable, path in PROCESSES:
                seconds, megabytes = started(module, variable, path, address)
                ready[name].append(seconds)
                memory[name].append(megabytes)
            checks.append(seconds_of("app.boot"))
    median: Callable[[list[float]], float] = statistics.median
    return {
        "ready_seconds": {name: median(values) for name, values in ready.items()},
        "memory_mb": {name: median(values) for name, values in memory.items()},
        "once_seconds": median(one_shot_runs()),
        "boot_check_seconds": median(checks),
    }


def main() -> None:
    """Measure, print and save."""
    measured = measure()
    ready, memory, once = measured["ready_seconds"], measured["memory_mb"], measured["once_seconds"]
    show(
        f"start: medians of {REPEATS}",
        ["process", "ready (or ended), s", "", "memory, MB", ""],
        [
            [
                name,
                f"{ready[name]:.2f}",
                verdict(ready[name] < AIM_READY_S) if name == "API" else "",
                f"{memory[name]:.0f}",
                verdict(memory[name] < AIM_MEMORY_MB),
            ]
            for name in ready
        ]
        + [
            ["worker --once, nothing to do", f"{once:.2f}", verdict(once < AIM_ONCE_S), "", ""],
            ["boot check", f"{measured['boot_check_seconds']:.2f}", "", "", ""],
        ],
    )
    save("start", measured)


if __name__ == "__main__":
    main()
