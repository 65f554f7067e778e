"""What a client wants to read: a page, as browsers do, or the response for programs (RFC 9110, section 12.5.1)."""

from collections.abc import Iterator, Mapping
from typing import Final

_MAX_RANGES: Final = 50
"""At most this many media ranges of a header are read; browsers send fewer than ten."""


def prefers_html(accept: str, *others: str) -> bool:
    """Whether an `Accept` header names HTML and prefers it to all of the media types `others`.

    `*/*`, an empty header and equal preferences select the others: only browsers rank HTML first.
    """
    ranges = dict(_ranges(accept))
    html = ranges.get("text/html", ranges.get("text/*", 0.0))
    return all(html > _weight_of(other, ranges) for other in others)


def _weight_of(media_type: str, ranges: Mapping[str, float]) -> float:
    """Return the weight of the most specific range that matches."""
    matching = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((ranges[each] for each in matching if each in ranges), 0.0)


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """Yield each media range with its weight; parameters other than `q` are ignored."""
    for part in accept.split(",", _MAX_RANGES)[:_MAX_RANGES]:
        media_range, *parameters = (each.strip().lower() for each in part.split(";"))
        weights = [each.removeprefix("q=") for each in parameters if each.startswith("q=")]
        yield media_range, _weight(weights[0]) if weights else 1.0


def _weight(text: str) -> float:
    """Return a weight from 0 to 1; an invalid one is 0."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
