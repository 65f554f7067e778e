"""Makes values fit for a jsonb column: no zero bytes, no lone surrogates, no NaN, and not too large."""

import json
import math
from typing import Any

from app.errors import PermanentError

MAX_RESULT_BYTES = 2_000_000
"""A digest with its page takes some 200 kB; ten times that is a mistake."""


def clean_text(text: str) -> str:
    """`text` without what PostgreSQL refuses: zero bytes go, lone surrogates become U+FFFD."""
    if text.isascii():
        return text.replace("\0", "")
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean(value: Any) -> Any:
    """`value` with every text in it cleaned; NaN and infinities, which JSON has not, become null."""
    match value:
        case str():
            return clean_text(value)
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {clean_text(str(key)): clean(inner) for key, inner in value.items()}
        case list() | tuple():
            return [clean(inner) for inner in value]
        case _:
            return value


def clean_result(result: dict[str, Any]) -> dict[str, Any]:
    """A task's result, cleaned. Raises `PermanentError` when it is larger than `MAX_RESULT_BYTES` or no JSON."""
    cleaned: dict[str, Any] = clean(result)
    try:
        size = len(json.dumps(cleaned, ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:
        raise PermanentError(f"the result cannot be written as JSON: {error}") from error
    if size > MAX_RESULT_BYTES:
        raise PermanentError(f"the result has {size} bytes, more than the {MAX_RESULT_BYTES} that are kept")
    return cleaned
