"""The sentence about items with an excerpt instead of the model's summary, for mails and pages."""

from collections.abc import Mapping
from typing import Final

from app.models.digests import Digest, FallbackReason

_FALLBACKS: Final[Mapping[FallbackReason, str]] = {
    FallbackReason.BUSY: "its server was overloaded",
    FallbackReason.UNAVAILABLE: "its server failed",
    FallbackReason.TIMEOUT: "it did not respond in time",
    FallbackReason.CIRCUIT_OPEN: "it had failed before and was not called",
    FallbackReason.REJECTED: "its server rejected the requests",
    FallbackReason.REFUSED: "it refused",
    FallbackReason.CUT_OFF: "its response was cut off",
    FallbackReason.INVALID: "its response was invalid",
    FallbackReason.BUDGET: "the limit for one digest was reached",
}


def excerpts_notice(digest: Digest) -> str:
    """Return the sentence about items that have an excerpt instead of the model's summary; empty if there are none."""
    fallbacks = digest.usage.fallbacks
    if not fallbacks:
        return ""
    items = sum(fallbacks.values())
    counted = len(fallbacks) > 1
    reasons = [f"{_FALLBACKS[why]}{f' ({count})' if counted else ''}" for why, count in sorted(fallbacks.items())]
    which = "1 item quotes" if items == 1 else f"{items} items quote"
    return f"{which} the abstract, because the language model wrote no summary: {'; '.join(reasons)}."
