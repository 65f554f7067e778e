"""The titles of errors, which callers see in problem documents."""

import pytest

from app import errors
from app.errors import BroadsheetError

TITLES = {
    "AdminRequired": "Admin required", "CircuitOpen": "Circuit open", "ConfigurationError": "Configuration error",
    "DeliveryNotFound": "Delivery not found", "DigestNotFound": "Digest not found",
    "EditionNotFound": "Edition not found", "FetchLimitReached": "Fetch limit reached",
    "IdempotencyConflict": "Idempotency key reused", "InvalidCursor": "Invalid cursor",
    "InvalidReader": "Invalid reader", "LeaseLost": "Lease lost", "NotFound": "Not found",
    "NotInDoubt": "Delivery not in doubt", "NothingToDo": "Nothing to do", "PaperNotFound": "Paper not found",
    "PermanentError": "Permanent failure", "QuotaExceeded": "Quota exceeded", "ReaderExists": "Reader exists",
    "ReaderNotFound": "Reader not found", "SchemaOutdated": "Database schema outdated", "SourceBusy": "Source busy",
    "SourceError": "Source failed", "SourceUnavailable": "Source unavailable", "SupabaseError": "Supabase error",
    "SupabaseRejected": "Supabase rejected the call", "SupabaseUnavailable": "Supabase unavailable",
    "TaskNotFound": "Task not found", "TemporarilyUnavailable": "Temporarily unavailable",
    "TooManyPapers": "Too many papers", "UnreadableResponse": "Supabase unavailable",
}  # fmt: skip


@pytest.mark.parametrize(("name", "title"), TITLES.items())
def test_an_error_has_its_title(name: str, title: str) -> None:
    assert vars(errors)[name].title == title


def test_an_error_without_a_title_has_the_words_of_its_name() -> None:
    class PageTooLarge(BroadsheetError):
        """No title."""

    assert PageTooLarge.title == "Page too large"
