"""Makes values fit for a jsonb column: no zero bytes, no lone surrogates, no NaN, and not too large."""

import math
from typing import Any

from app.errors import PermanentError

MAX_RESULT_BYTES = 2_000_000
"""A digest with its page takes some 200 kB; ten times that is a mistake."""

MAX_DEPTH, MAX_VALUES, MAX_BITS = 100, 50_000, 256
"""Levels and parts of a value: a digest has six levels and some hundred parts."""


def clean_text(text: str) -> str:
    """`text` without what PostgreSQL refuses: zero bytes go, lone surrogates become U+FFFD."""
    if text.isascii():
        return text.replace("\0", "")
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean(value: Any) -> Any:
    """`value` with every text in it cleaned; NaN and infinities, which JSON has not, become null.

    Raises `PermanentError` for what is no JSON, is nested deeper than `MAX_DEPTH` or has more than `MAX_VALUES` parts:
    what holds itself is both.
    """
    return _Cleaner("a value", math.inf).clean(value, MAX_DEPTH)


def clean_result(result: object) -> dict[str, Any]:
    """A task's result, cleaned; raises `PermanentError` if it is no JSON object or larger than `MAX_RESULT_BYTES`."""
    if not isinstance(result, dict):
        raise PermanentError(f"the result is no JSON object but of type {type(result).__name__}")
    cleaned: dict[str, Any] = _Cleaner("the result", MAX_RESULT_BYTES).clean(result, MAX_DEPTH)
    return cleaned


class _Cleaner:
    """Cleans one value, and counts its parts and the bytes of its texts on the way."""

    def __init__(self, what: str, max_bytes: float) -> None:
        self._what = what
        self._parts_left = MAX_VALUES
        self._max_bytes = self._bytes_left = max_bytes

    def clean(self, value: Any, depth: int) -> Any:
        self._parts_left -= 1
        if depth < 0 or self._parts_left < 0:
            raise PermanentError(
                f"{self._what} has more than {MAX_DEPTH} levels or {MAX_VALUES} parts: more than are kept"
            )
        match value:
            case str():
                return self._text(value)
            case dict():
                return {self._text(str(key)): self.clean(inner, depth - 1) for key, inner in value.items()}
            case list() | tuple():
                return [self.clean(inner, depth - 1) for inner in value]
            case None | bool():
                return value
            case int() if value.bit_length() <= MAX_BITS:
                return value
            case float():
                return value if math.isfinite(value) else None
            case _:
                raise PermanentError(f"{self._what} cannot be written as JSON: it holds a {type(value).__name__}")

    def _text(self, text: str) -> str:
        self._bytes_left -= len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if self._bytes_left < 0:
            raise PermanentError(f"{self._what} has more than the {self._max_bytes} bytes that are kept")
        return clean_text(text)
