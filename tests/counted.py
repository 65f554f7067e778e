"""`python -m tests.counted MODULE [ARGUMENT ...]`: runs a module as a program, and says at its end what it counted:
its Supabase clients, and the objects that the garbage collector passed over.
"""

import atexit
import gc
import runpy
import sys
from typing import Any

import supabase

from app.client import factory

made = 0
original = supabase.create_async_client


async def counting(*arguments: Any, **options: Any) -> supabase.AsyncClient:
    global made  # noqa: PLW0603  (one number for the life of the process)
    made += 1
    return await original(*arguments, **options)


def say() -> None:
    print(f"clients made: {made}\nobjects kept: {gc.get_freeze_count()}", file=sys.stderr, flush=True)  # noqa: T201  (to be read by the test)


def run_counted(module: str, *arguments: str) -> None:
    setattr(factory, "create_async_client", counting)  # noqa: B010  (the name is not the module's to export)
    atexit.register(say)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_counted(*sys.argv[1:])
