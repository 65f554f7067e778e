"""The client: five kinds of client in turns read one task many times from a project 20 ms away.

Each makes 3,000 calls at each level (the blocking client 150), in rounds. A round ends early after its `TIME_LIMIT`,
which happens only to the slow clients.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack

from benchmarks.processes import Child, child, read_line, write_line
from benchmarks.report import median_of, save, show, verdict
from benchmarks.rivals import RIVALS
from benchmarks.stub import running

DELAY = 0.02
LEVELS = (10, 100, 200)
ROUNDS = 3
CALLS = 3_000
CALLS_BLOCKING = 150
TIME_LIMIT = {10: 2.3, 100: 1.2, 200: 1.2}
"""Seconds by level, enough for 1,000 calls of a client that does not block."""
NAMES = {
    "blocking": "sync in async def",
    "threads": "sync in to_thread",
    "stock": "stock AsyncClient",
    "ours": "Broadsheet",
    "bare": "bare aiohttp",
}
AIMS = {"stock": 3, "threads": 6, "blocking": 35, "bare": 0.75}
"""Minimum ratio of our calls per second to the other client's, at `AIM_LEVEL` in flight."""
AIM_LEVEL, AIM_LAG_MS = 100, 10

Figures = dict[str, dict[int, dict[str, float]]]


def one_round(process: Child, name: str, in_flight: int) -> dict[str, float]:
    """Let a rival's process make the calls of one round."""
    calls = (CALLS_BLOCKING if name == "blocking" else CALLS) // ROUNDS
    write_line(process, json.dumps({"in_flight": in_flight, "calls": calls, "time_limit": TIME_LIMIT[in_flight]}))
    figures: dict[str, float] = json.loads(read_line(process))
    return figures


def measure() -> Figures:
    """Measure all rivals in turns, `ROUNDS` times, at each level; returns the median of each figure."""
    found: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    with running(DELAY) as address, ExitStack() as stack:
        rivals = {name: stack.enter_context(child("benchmarks.rivals", name, address)) for name in RIVALS}
        for _ in range(ROUNDS):
            for level in LEVELS:
                for name, process in rivals.items():
                    found[name, level].append(one_round(process, name, level))
    return {name: {level: median_of(found[name, level]) for level in LEVELS} for name in RIVALS}


def _row(name: str, level: int, figures: Figures) -> list[str]:
    own, at = figures["ours"][level]["calls_per_second"], figures[name][level]
    return [
        NAMES[name],
        str(level),
        f"{at['calls_per_second']:,.0f}",
        f"{own / at['calls_per_second']:.2f}",
        f"{at['cpu_us_per_call']:,.0f}",
        *(f"{at[f'lag_{which}_ms']:,.{digits}f}" for which, digits in (("p50", 1), ("p99", 1), ("max", 0))),
        f"{at['threads']:.0f}",
        f"{at['memory_mb']:.0f}",
    ]


def aims(figures: Figures) -> dict[str, Mapping[str, float | bool]]:
    """The aims at 100 in flight, and the measured values."""
    own = figures["ours"][AIM_LEVEL]
    reached: dict[str, Mapping[str, float | bool]] = {}
    for name, aim in AIMS.items():
        ratio = own["calls_per_second"] / figures[name][AIM_LEVEL]["calls_per_second"]
        reached[f"times as many calls as: {NAMES[name]}"] = {"aim": aim, "got": ratio, "reached": ratio >= aim}
    lag = own["lag_p99_ms"]
    reached["lag p99, ms, at most"] = {"aim": AIM_LAG_MS, "got": lag, "reached": lag <= AIM_LAG_MS}
    return reached


def main() -> None:
    """Measure, print and save."""
    figures = measure()
    columns = ["client", "at once", "calls/s", "ours x", "CPU us", "lag p50", "p99", "max ms", "threads", "MB"]
    show(
        f"client: get_task, project {DELAY * 1e3:.0f} ms away; CPU per call, event-loop lag; median of {ROUNDS}",
        columns,
        [_row(name, level, figures) for level in LEVELS for name in RIVALS],
    )
    results = aims(figures)
    show(
        f"client: aims at {AIM_LEVEL} in flight",
        ["aim", "target", "measured", ""],
        [[name, f"{a['aim']}", f"{a['got']:.2f}", verdict(bool(a["reached"]))] for name, a in results.items()],
    )
    save("client", {"figures": figures, "aims": results})


if __name__ == "__main__":
    main()
