"""Start: seconds from exec to ready, and memory of each process, which must fit the smallest machines."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx

from benchmarks.processes import child, resident_mb
from benchmarks.report import ROOT, save, show, verdict
from benchmarks.stub import running
from embedded.loopback import free_port

REPEATS = 3
AIM_READY_S, AIM_MEMORY_MB = 1.5, 120
POLL = 0.005
PROCESSES = (("API", "app", "PORT", "/readyz"), ("worker", "worker", "WORKER_PORT", "/healthz"))


def environment(address: str) -> dict[str, str]:
    """The settings that both processes need, without this machine's environment."""
    return {
        "PATH": os.environ["PATH"],
        "SUPABASE_URL": address,
        "SUPABASE_KEY": "legacy.jwt.key",
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


def boot_check() -> float:
    """The seconds of the boot check."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "app.boot"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


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
            checks.append(boot_check())
    median: Callable[[list[float]], float] = statistics.median
    return {
        "ready_seconds": {name: median(values) for name, values in ready.items()},
        "memory_mb": {name: median(values) for name, values in memory.items()},
        "boot_check_seconds": median(checks),
    }


def main() -> None:
    """Measure, print and save."""
    measured = measure()
    ready, memory = measured["ready_seconds"], measured["memory_mb"]
    show(
        f"start: medians of {REPEATS}",
        ["process", "ready, s", "", "memory, MB", ""],
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
        + [["boot check", f"{measured['boot_check_seconds']:.2f}", "", "", ""]],
    )
    save("start", measured)


if __name__ == "__main__":
    main()
