"""Reads `Retry-After`: how long a server that cannot answer now asks to be left alone (RFC 9110, 10.2.3)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RETRY_AFTER: Final = 86_400.0
"""Seconds; whoever asks for more gets this."""

_MAX_LENGTH: Final = 40


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that the header asks for, 0 to a day, in either of its forms; None without a readable one.

    A date is compared with the answer's own `Date` where it has one, so that a server whose clock is wrong is still
    understood; otherwise with `now`.
    """
    value = headers.get("retry-after", "")[:_MAX_LENGTH].strip()
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER)
    until = _date(value)
    if until is None:
        return None
    sent = _date(headers.get("date", "")[:_MAX_LENGTH].strip()) or now
    return min(max((until - sent).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date
