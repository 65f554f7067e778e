"""`python -m tests.support.counted_program MODULE [ARGUMENT ...]`: runs a module as a program and counts its resources.

At its end it prints the Supabase clients that it made, the objects that it excluded from garbage collection, and the
Python threads that it started.
"""

import atexit
import gc
import runpy
import sys
import threading
from typing import Any

import supabase

from app.client import factory

made = 0
original = supabase.create_async_client


async def counting(*arguments: Any, **options: Any) -> supabase.AsyncClient:
    global made  # noqa: PLW0603  (one number for the life of the process)
    made += 1
    return await original(*arguments, **options)


threads: list[str] = []
start_thread = threading.Thread.start


def start_counted(thread: threading.Thread) -> None:
    threads.append(f"{type(thread).__name__} {thread.name}")
    start_thread(thread)


def say(inherited: int) -> None:
    sdk = [module for module in sys.modules if module.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
    counts = {"clients made": made, "objects kept": gc.get_freeze_count() - inherited, "threads started": len(threads)}
    counts |= {"modules of the tracing SDK": len(sdk)}
    lines = [f"{what}: {count}" for what, count in counts.items()] + [f"thread: {name}" for name in threads]
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201  (to be read by the test)


def run_counted(module: str, *arguments: str) -> None:
    setattr(factory, "create_async_client", counting)  # noqa: B010  (the name is not the module's to export)
    setattr(threading.Thread, "start", start_counted)  # noqa: B010  (a method is replaced on purpose)
    atexit.register(say, gc.get_freeze_count())
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_counted(*sys.argv[1:])
