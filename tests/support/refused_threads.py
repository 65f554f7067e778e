"""Runs code while no thread can be started."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import anyio.to_thread
import pytest

_NAME_LOOK_UPS: Final = frozenset({socket.getaddrinfo, socket.getnameinfo})


class ThreadRefused(Exception):
    """Code tried to start a thread."""


@contextmanager
def no_threads() -> Iterator[list[object]]:
    """Refuse new threads and work for threads; yields the refused callables. Only the event loop may resolve names."""
    submit, start, refused = ThreadPoolExecutor.submit, threading.Thread.start, list[object]()

    def refuse(*arguments: Any, **_: Any) -> Any:
        refused.append(arguments[0])
        raise ThreadRefused(arguments)

    def look_up(pool: ThreadPoolExecutor, function: Any, *arguments: Any, **options: Any) -> Any:
        if function not in _NAME_LOOK_UPS:
            refuse(function)
        with pytest.MonkeyPatch.context() as allowed:
            allowed.setattr(threading.Thread, "start", start)
            return submit(pool, function, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        patched.setattr(ThreadPoolExecutor, "submit", look_up)
        patched.setattr(anyio.to_thread, "run_sync", refuse)
        yield refused
