"""The domain's errors, each with its HTTP status and its title in a problem document (RFC 9457)."""

import re
from http import HTTPStatus
from typing import ClassVar


class BroadsheetError(Exception):
    """Base of every error that the service raises on purpose; callers may see its text."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    title: ClassVar[str] = "Internal error"

    def __init_subclass__(cls) -> None:
        """A class without a title has the words of its name as its title: `TaskNotFound` has "Task not found"."""
        if "title" not in vars(cls):
            cls.title = re.sub(r"(?<!^)[A-Z]", lambda letter: f" {letter[0].lower()}", cls.__name__)


class ConfigurationError(BroadsheetError):
    """Settings are missing or invalid, or the installed packages differ from the lock: the process must not start."""


class SupabaseError(BroadsheetError):
    """Base of all errors of calls to Supabase."""


class SupabaseUnavailable(SupabaseError):
    """Supabase did not respond, or refused a call for a reason other than its data: its state, its gateway, the key.

    A retry is safe, because every write is idempotent; the text says what to fix if an operator must act.
    """

    status = HTTPStatus.SERVICE_UNAVAILABLE


class UnreadableResponse(SupabaseUnavailable):
    """The response was truncated, or this code cannot parse it."""

    title = SupabaseUnavailable.title


class SupabaseRejected(SupabaseError):
    """Supabase refused the call's data; a retry with the same data fails again.

    `code` is the SQLSTATE or PostgREST code (`23505`, `PGRST102`), or the HTTP status if there is neither.
    """

    title = "Supabase rejected the call"

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class SchemaOutdated(SupabaseError):
    """A table, column or function that the code needs is missing: the migrations have not been applied."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Database schema outdated"


class NotFound(BroadsheetError):
    """The requested thing does not exist."""

    status = HTTPStatus.NOT_FOUND


class TaskNotFound(NotFound):
    """There is no task with this id."""


class DigestNotFound(NotFound):
    """The task has no digest."""


class EditionNotFound(NotFound):
    """No edition was fetched for this date."""


class ReaderNotFound(NotFound):
    """There is no reader with this id."""


class PaperNotFound(NotFound):
    """The reader has no paper with this id."""


class TooManyPapers(BroadsheetError):
    """The reader has the maximum number of papers that the database allows."""

    status = HTTPStatus.CONFLICT


class ReaderExists(BroadsheetError):
    """The owner already has a reader with this external_id, or the user already has a reader."""

    status = HTTPStatus.CONFLICT


class InvalidReader(BroadsheetError):
    """The reader violates a rule of the database, such as an unknown time zone."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class AdminRequired(BroadsheetError):
    """Only callers listed in ADMINS may do this."""

    status = HTTPStatus.FORBIDDEN


class DeliveryNotFound(NotFound):
    """There is no delivery with this id."""


class NotInDoubt(BroadsheetError):
    """The delivery's status does not allow this resolution."""

    status = HTTPStatus.CONFLICT
    title = "Delivery not in doubt"


class IdempotencyConflict(BroadsheetError):
    """The idempotency key belongs to a request with a different body."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Idempotency key reused"


class QuotaExceeded(BroadsheetError):
    """The caller has used up a quota; `retry_after` is the number of seconds until it has another one."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UploadInProgress(BroadsheetError):
    """The reader has another upload, or an import that has not ended."""

    status = HTTPStatus.CONFLICT
    title = "Import in progress"


class UploadRemoved(BroadsheetError):
    """The upload was removed before it was complete: it stood still too long, or its reader was removed."""

    status = HTTPStatus.CONFLICT
    title = "Upload removed"


class TooManyUploads(QuotaExceeded):
    """The caller has the maximum number of uploads; `retry_after` is the number of seconds until the next try."""

    title = "Too many uploads"


class NotUnconfirmed(BroadsheetError):
    """The reader does not wait for a confirmation of its e-mail address."""

    status = HTTPStatus.CONFLICT
    title = "Reader not unconfirmed"


class ConfirmationLimitReached(QuotaExceeded):
    """The address may get another confirmation mail after `retry_after` seconds."""


class SignUpLimitReached(QuotaExceeded):
    """The network, or all of them together, may sign up again after `retry_after` seconds."""


class NothingToDo(BroadsheetError):
    """An operator's action does not apply to the current state; nothing was changed."""

    status = HTTPStatus.CONFLICT


class InvalidCursor(BroadsheetError):
    """The cursor does not come from a page of the service."""

    status = HTTPStatus.BAD_REQUEST


class LeaseLost(BroadsheetError):
    """Another worker has the task's lease, or the task has ended: this worker's result is discarded."""

    status = HTTPStatus.CONFLICT


class TemporarilyUnavailable(BroadsheetError):
    """A temporary condition, not a failure: the task is snoozed and uses no attempt.

    `retry_after` is the number of seconds until the next try.
    """

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CircuitOpen(TemporarilyUnavailable):
    """The circuit breaker suspends calls to a failing service until the next trial; `cause` is its last failure."""

    def __init__(self, message: str, *, retry_after: float, cause: str | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.cause = cause or message


class SourceError(BroadsheetError):
    """A source of papers or news could not be read; the text says why. Other sources are not affected."""

    status = HTTPStatus.BAD_GATEWAY
    title = "Source failed"


class SourceUnavailable(SourceError):
    """A source cannot be reached, or its server failed: a retry may succeed.

    `retry_after` is the number of seconds that the source requested, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceBusy(TemporarilyUnavailable):
    """A source requests all clients to wait for `retry_after` seconds; this is not a failure."""


class FetchLimitReached(TemporarilyUnavailable):
    """The caller has reached its maximum number of concurrent fetches."""


class PermanentError(BroadsheetError):
    """The task cannot succeed: it fails immediately, without another attempt."""

    title = "Permanent failure"
