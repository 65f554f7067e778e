"""Reports of all benchmarks: medians, a table on the terminal, JSON under out/bench/."""

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from os import sched_getaffinity
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "bench"
MIN_WIDTH = 100
"""Columns that tables need without wrapping; also the width of a pipe."""


def percentile(values: Sequence[float], share: float) -> float:
    """The percentile `share` (0 to 1) of `values`, by nearest rank; 0 if there are no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def median_of(measurements: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over repeated measurements."""
    return {name: statistics.median(m[name] for m in measurements) for name in measurements[0]}


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: names on the left, figures on the right."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.width = max(console.width, MIN_WIDTH)
    console.print(title, highlight=False)
    console.print(table)


def save(name: str, measured: Mapping[str, Any]) -> None:
    """Write the figures, the time and the machine to out/bench/NAME.json."""
    OUT.mkdir(parents=True, exist_ok=True)
    machine = {"cores": len(sched_getaffinity(0)), "python": platform.python_version(), "system": platform.machine()}
    record = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, **measured}
    (OUT / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def verdict(reached: bool) -> str:
    """Whether an aim was reached, for the last column of a table."""
    return "reached" if reached else "MISSED"
