"""Parses the `Retry-After` header (RFC 9110, 10.2.3)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RETRY_AFTER: Final = 86_400.0
"""Seconds; larger values are reduced to it."""

_MAX_LENGTH: Final = 40


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the header's seconds, 0 to one day; None if the header is missing or invalid.

    A date is compared with the response's `Date` header if there is one, so that a wrong clock of the server does not
    matter; otherwise with `now`.
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
