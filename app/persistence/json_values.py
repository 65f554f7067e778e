"""Makes values fit for a jsonb column: no zero bytes, no lone surrogates, no NaN, and not too large."""

import json
import math
from typing import Any

from app.errors import PermanentError

MAX_RESULT_BYTES = 2_000_000
"""A digest with its page takes some 200 kB; ten times that is a mistake."""

MAX_DEPTH, MAX_VALUES = 100, 50_000
"""Levels and parts of a value: a digest has six levels and some hundred parts."""


def clean_text(text: str) -> str:
    """`text` without what PostgreSQL refuses: zero bytes go, lone surrogates become U+FFFD."""
    if text.isascii():
        return text.replace("\0", "")
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean(value: Any) -> Any:
    """`value` with every text in it cleaned; NaN and infinities, which JSON has not, become null.

    Raises `PermanentError` for what is nested deeper than `MAX_DEPTH` or has more than `MAX_VALUES` parts: what holds
    itself is both.
    """
    return _Cleaner().clean(value, MAX_DEPTH)


class _Cleaner:
    """Cleans one value, and counts its parts on the way."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def clean(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if depth < 0 or self._left < 0:
            raise PermanentError(f"a value has more than {MAX_DEPTH} levels or {MAX_VALUES} parts: more than are kept")
        match value:
            case str():
                return clean_text(value)
            case float() if not math.isfinite(value):
                return None
            case dict():
                return {clean_text(str(key)): self.clean(inner, depth - 1) for key, inner in value.items()}
            case list() | tuple():
                return [self.clean(inner, depth - 1) for inner in value]
            case _:
                return value


def clean_result(result: object) -> dict[str, Any]:
    """A task's result, cleaned; raises `PermanentError` if it is no JSON object or larger than `MAX_RESULT_BYTES`."""
    if not isinstance(result, dict):
        raise PermanentError(f"the result is no JSON object but of type {type(result).__name__}")
    try:
        cleaned: dict[str, Any] = clean(result)
        size = len(json.dumps(cleaned, ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:
        raise PermanentError(f"the result cannot be written as JSON: {error}") from error
    if size > MAX_RESULT_BYTES:
        raise PermanentError(f"the result has {size} bytes, more than the {MAX_RESULT_BYTES} that are kept")
    return cleaned
