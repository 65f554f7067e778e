"""The domain's errors, each with the HTTP status and the title it has in a problem document (RFC 9457)."""

from http import HTTPStatus
from typing import ClassVar


class BroadsheetError(Exception):
    """Base of every error that the service raises on purpose; its text is fit for whoever called."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    title: ClassVar[str] = "Internal error"


class ConfigurationError(BroadsheetError):
    """Settings are missing or wrong, or the installed packages are not the locked ones: the process must not start."""

    title = "Configuration error"


class SupabaseError(BroadsheetError):
    """Base of everything that a call to Supabase can end with."""

    title = "Supabase error"


class SupabaseUnavailable(SupabaseError):
    """Supabase did not answer, or refused for a reason that is not in the data: its state, its gateway, the key.

    Worth retrying later, for every write is idempotent; the text says what to mend where somebody has to.
    """

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Supabase unavailable"


class UnreadableResponse(SupabaseUnavailable):
    """An answer came and says nothing: it was cut off, or holds what this code cannot read."""


class SupabaseRejected(SupabaseError):
    """Supabase refused what the call carries; the same data will be refused again.

    `code` is the SQLSTATE or PostgREST code (`23505`, `PGRST102`), or the HTTP status where there was neither.
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
    """What was asked for does not exist."""

    status = HTTPStatus.NOT_FOUND
    title = "Not found"


class TaskNotFound(NotFound):
    """There is no task with this id."""

    title = "Task not found"


class DigestNotFound(NotFound):
    """The task has written no digest."""

    title = "Digest not found"


class EditionNotFound(NotFound):
    """No edition was fetched for this date."""

    title = "Edition not found"


class ReaderNotFound(NotFound):
    """There is no reader with this id."""

    title = "Reader not found"


class PaperNotFound(NotFound):
    """The reader has no paper with this id."""

    title = "Paper not found"


class TooManyPapers(BroadsheetError):
    """A reader keeps no more papers than the database's limit."""

    status = HTTPStatus.CONFLICT
    title = "Too many papers"


class ReaderExists(BroadsheetError):
    """The owner has a reader of this external_id, or another reader is this user's."""

    status = HTTPStatus.CONFLICT
    title = "Reader exists"


class InvalidReader(BroadsheetError):
    """A rule of the database about readers is broken, such as a timezone that does not exist."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Invalid reader"


class NotAllowed(BroadsheetError):
    """Only admins may do this."""

    status = HTTPStatus.FORBIDDEN
    title = "Not allowed"


class DeliveryNotFound(NotFound):
    """There is no delivery with this id."""

    title = "Delivery not found"


class NotInDoubt(BroadsheetError):
    """The delivery is not in a state in which an admin's word decides."""

    status = HTTPStatus.CONFLICT
    title = "Not to be resolved"


class IdempotencyConflict(BroadsheetError):
    """The idempotency key is in use for a task with a different body."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Idempotency key reused"


class QuotaExceeded(BroadsheetError):
    """A caller has ordered as much as it may today; `retry_after` is the number of seconds until tomorrow (UTC)."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Quota exceeded"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NothingToDo(BroadsheetError):
    """An operator's act does not fit the state that things are in; nothing was changed."""

    status = HTTPStatus.CONFLICT
    title = "Nothing to do"


class InvalidCursor(BroadsheetError):
    """The cursor of a page was not made by the service."""

    status = HTTPStatus.BAD_REQUEST
    title = "Invalid cursor"


class LeaseLost(BroadsheetError):
    """Another worker holds the task now, or it has ended: whatever this worker did for it no longer counts."""

    status = HTTPStatus.CONFLICT
    title = "Lease lost"


class TemporarilyUnavailable(BroadsheetError):
    """A condition that is known to pass, and no failure: a task that meets it waits and uses no attempt.

    `retry_after` is the number of seconds until the next try.
    """

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Temporarily unavailable"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CircuitOpen(TemporarilyUnavailable):
    """Calls to a failing service are suspended until the next trial; `cause` is its last failure, with the time."""

    title = "Circuit open"

    def __init__(self, message: str, *, retry_after: float, cause: str | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.cause = cause or message


class SourceError(BroadsheetError):
    """A source of papers or news could not be read; the text says why. Other sources go on."""

    status = HTTPStatus.BAD_GATEWAY
    title = "Source failed"


class SourceUnavailable(SourceError):
    """A source cannot be reached now, or its server is at fault: another try may succeed.

    `retry_after` is the number of seconds that the source asked for; None if it named none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceBusy(TemporarilyUnavailable):
    """A source asks all clients to wait for `retry_after` seconds: no failure, and worth waiting for."""

    title = "Source busy"


class FetchLimitReached(TemporarilyUnavailable):
    """As many days are being fetched for a caller as one caller may have at a time."""

    title = "Fetch limit reached"


class PermanentError(BroadsheetError):
    """A task cannot succeed however often it is tried: it fails at once, without another attempt."""

    title = "Permanent failure"
