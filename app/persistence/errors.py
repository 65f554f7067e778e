"""Turns every way in which a call to Supabase can fail into one of the domain's errors, in this one place."""

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
"""SQLSTATE and PostgREST codes that find fault with what was sent, so that sending it again is in vain.

Every other refusal passes, or ends when somebody mends the project: it says nothing about the data.
Sources: PostgreSQL manual, appendix A; PostgREST reference, "Errors".
"""

SCHEMA_CODES = re.compile(r"42(?!501)...|3F000|PGRST2\d\d|PGRST106")
"""Unknown or different table, column, function or relation, by PostgreSQL or by PostgREST's schema cache."""

KEY_CODES = re.compile(r"42501|28...|PGRST3\d\d|401|403")
"""The key, or the role that it stands for, is refused: often for a moment, while a gateway or its keys change."""

DATA_STATUSES = frozenset({HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_URI_TOO_LONG})

SAFE = "It is safe to try again."

T = TypeVar("T")


def _is_void(result: object) -> object:
    if result is not None and result != RETURNED_VOID:
        raise ValueError("a function that returns void gave a result")
    return result


VOID: Final = TypeAdapter[object](Annotated[object, AfterValidator(_is_void)])
"""The result of a function that returns void.

Every call declares its result by an adapter. Null is valid for void and for `X | None`; otherwise it is unreadable.
"""


@contextmanager
def supabase_errors(action: str) -> Iterator[None]:
    """Run one awaited query; `action` says in the message what it was for, such as `read task 7f...`.

    Raises `SupabaseUnavailable`, `SupabaseRejected` or `SchemaOutdated`; nothing of httpx or postgrest-py gets through.
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
        # postgrest-py lets through what Python's JSON reader makes of a success: a body that is no JSON, a number of
        # more than 4,300 digits, a depth beyond the stack.
        raise UnreadableResponse(f"Could not {action}: the answer cannot be read ({error}). {SAFE}") from error


def parsed(adapter: TypeAdapter[T], data: object) -> T:
    """Validate the data of an answer.

    Raises `UnreadableResponse` when it has not the form it should have: a truncated rpc answer, for one, comes out of
    postgrest-py as a `str`. Asking again is harmless and usually helps.
    """
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        raise UnreadableResponse(
            f"Supabase gave an unreadable answer ({type(data).__name__}): {problem['msg']} at {problem['loc']}. "
            f"{SAFE} If it stays so, compare the migrations with the code."
        ) from error


def _from_api_error(action: str, error: APIError) -> SupabaseError:
    raw: object = error.code
    if not isinstance(raw, str):
        # A success, which postgrest-py takes for an error because it has a `message`; others the session refuses.
        return UnreadableResponse(f"Could not {action}: the answer is an error without a code: {error.message}. {SAFE}")
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
        reason += ". SUPABASE_URL must be the project's own address: redirects are not followed"
    return _unavailable(action, reason, str(status))


def _unavailable(action: str, reason: str, code: str) -> SupabaseUnavailable:
    if KEY_CODES.fullmatch(code):
        reason += ". SUPABASE_KEY must be the project's secret (or service_role) key"
    return SupabaseUnavailable(f"Could not {action}: {reason}. {SAFE}")
