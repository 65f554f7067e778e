"""Maps every failure of a call to Supabase to one of the domain's errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Final, TypeVar

import httpx
from postgrest.exceptions import APIError
from pydantic import AfterValidator, TypeAdapter, ValidationError

from app.client.session import RETURNED_VOID
from app.errors import SchemaOutdated, SupabaseError, SupabaseRejected, SupabaseUnavailable, UnreadableResponse

DATA_CODES = re.compile(
    r"(21|22|23|44|54|P0)..."  # cardinality, data, constraints, check options, program limits, raised by a function
    r"|40002"  # a constraint that is checked at the end of the transaction
    r"|PGRST1(?!06)\d\d"  # the request itself could not be read (106: a schema that is not exposed)
)
"""SQLSTATE and PostgREST codes that reject the data itself, so that a retry cannot succeed.

Every other error passes, or an operator can fix it in the project; it is not caused by the data.
Sources: PostgreSQL manual, appendix A; PostgREST reference, "Errors".
"""

SCHEMA_CODES = re.compile(r"42(?!501)...|3F000|PGRST2\d\d|PGRST106")
"""A table, column, function or relation is missing or different, in PostgreSQL or in PostgREST's schema cache."""

KEY_CODES = re.compile(r"42501|28...|PGRST3\d\d|401|403")
"""The key or its role is refused. This is often temporary, while a gateway or its keys change."""

DATA_STATUSES = frozenset({HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_URI_TOO_LONG})

SAFE = "It is safe to try again."

T = TypeVar("T")


def _is_void(result: object) -> object:
    if result is not None and result != RETURNED_VOID:
        raise ValueError("a function that returns void returned a result")
    return result


VOID: Final = TypeAdapter[object](Annotated[object, AfterValidator(_is_void)])
"""The result of a function that returns void.

Every call declares its result by an adapter. Null is valid only for void and for `X | None`.
"""


@contextmanager
def supabase_errors(action: str) -> Iterator[None]:
    """Run one awaited query. `action` names it in error messages, such as `read task 7f...`.

    Raises `SupabaseUnavailable`, `SupabaseRejected` or `SchemaOutdated`, never an error of httpx or postgrest-py.
    """
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise _from_status(action, error.response.status_code, str(error)) from error
    except httpx.HTTPError as error:
        reason = f"{type(error).__name__}: {error}"
        raise SupabaseUnavailable(f"Could not {action}: {reason}. {SAFE}") from error
    except APIError as error:
        raise _from_api_error(action, error) from error
    except (ValueError, RecursionError) as error:
        # postgrest-py does not catch the errors of Python's JSON parser: a body that is no JSON, a number of more than
        # 4,300 digits, a depth beyond the stack.
        raise UnreadableResponse(f"Could not {action}: the response cannot be read ({error}). {SAFE}") from error


def parsed(adapter: TypeAdapter[T], data: object) -> T:
    """Validate the data of a response.

    Raises `UnreadableResponse` if it has another form. Example: postgrest-py returns a truncated rpc response as a
    `str`. A retry is harmless and usually succeeds.
    """
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        raise UnreadableResponse(
            f"Supabase returned an unreadable response ({type(data).__name__}): {problem['msg']} at {problem['loc']}. "
            f"{SAFE} If it happens again, compare the migrations with the code."
        ) from error


def _from_api_error(action: str, error: APIError) -> SupabaseError:
    raw: object = error.code
    if not isinstance(raw, str):
        # postgrest-py treats a success with a `message` as an error. The session rejects all other such responses.
        return UnreadableResponse(
            f"Could not {action}: the response is an error without a code: {error.message}. {SAFE}"
        )
    reason = f"{error.message} (code {raw})" + (f"; hint: {error.hint}" if error.hint else "")
    if SCHEMA_CODES.fullmatch(raw):
        return SchemaOutdated(
            f"Could not {action}: {reason}. Apply the migrations: `make migrate` or `supabase db push`."
        )
    if DATA_CODES.fullmatch(raw):
        return SupabaseRejected(f"Could not {action}: {reason}.", code=raw)
    return _unavailable(action, reason, raw)


def _from_status(action: str, status: int, reason: str) -> SupabaseError:
    if status in DATA_STATUSES:
        return SupabaseRejected(f"Could not {action}: {reason}.", code=str(status))
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        reason += ". SUPABASE_URL must be the project's own URL: redirects are not followed"
    return _unavailable(action, reason, str(status))


def _unavailable(action: str, reason: str, code: str) -> SupabaseUnavailable:
    if KEY_CODES.fullmatch(code):
        reason += ". SUPABASE_KEY must be the project's secret (or service_role) key"
    return SupabaseUnavailable(f"Could not {action}: {reason}. {SAFE}")
