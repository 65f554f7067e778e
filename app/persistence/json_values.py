"""Cleans values for a jsonb column: removes zero bytes, lone surrogates and NaN, and limits the size."""

import math
from typing import Any

from app.errors import PermanentError

MAX_RESULT_BYTES = 2_000_000
"""The longest digests have about 200 kB; ten times that is an error."""

MAX_DEPTH, MAX_VALUES, MAX_BITS = 100, 50_000, 256
"""Limits of a value: nesting levels, parts, and bits of an integer. A digest has six levels and some hundred parts."""


def clean_text(text: str) -> str:
    """Return `text` as PostgreSQL accepts it: without zero bytes, and with U+FFFD for lone surrogates."""
    if text.isascii():
        return text.replace("\0", "")
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean(value: Any) -> Any:
    """Return `value` with all its texts cleaned. NaN and infinities, which JSON does not have, become null.

    Raises `PermanentError` if it is not JSON, is nested deeper than `MAX_DEPTH` or has more than `MAX_VALUES` parts. A
    value that contains itself exceeds both.
    """
    return _Cleaner("a value", math.inf).clean(value, MAX_DEPTH)


def clean_result(result: object) -> dict[str, Any]:
    """Return a task's result, cleaned. Raises `PermanentError` if it is no object or exceeds `MAX_RESULT_BYTES`."""
    if not isinstance(result, dict):
        raise PermanentError(f"the result must be a JSON object, not of type {type(result).__name__}")
    cleaned: dict[str, Any] = _Cleaner("the result", MAX_RESULT_BYTES).clean(result, MAX_DEPTH)
    return cleaned


class _Cleaner:
    """Cleans one value, and counts its parts and the bytes of its texts."""

    def __init__(self, name: str, max_bytes: float) -> None:
        self._name = name
        self._parts_left = MAX_VALUES
        self._max_bytes = self._bytes_left = max_bytes

    def clean(self, value: Any, depth: int) -> Any:
        self._parts_left -= 1
        if depth < 0 or self._parts_left < 0:
            raise PermanentError(
                f"{self._name} has more than {MAX_DEPTH} levels or {MAX_VALUES} parts, which is the limit"
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
                raise PermanentError(f"{self._name} cannot be written as JSON: it contains a {type(value).__name__}")

    def _text(self, text: str) -> str:
        self._bytes_left -= len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if self._bytes_left < 0:
            raise PermanentError(f"{self._name} exceeds the limit of {self._max_bytes} bytes")
        return clean_text(text)
