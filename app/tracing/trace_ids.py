"""Derives the id of a trace from the id of a task that no traced request has caused."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_SEED: ContextVar[str | None] = ContextVar("trace_id_seed", default=None)
_BYTES: Final = 16


@contextmanager
def trace_id_from(seed: str) -> Iterator[None]:
    """Derive the ids of traces that begin in the block from `seed`."""
    token = _SEED.set(seed)
    try:
        yield
    finally:
        _SEED.reset(token)


def derived_trace_id() -> int | None:
    """Return the trace id that the block of `trace_id_from` prescribes; None outside.

    It is a hash, because samplers by ratio need ids whose bits are random, and a uuid's are not.
    """
    seed = _SEED.get()
    if seed is None:
        return None
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=_BYTES).digest())
