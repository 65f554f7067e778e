"""Turns every way in which a call to Supabase can fail into one of the domain's errors, in this one place."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from json import JSONDecodeError
from typing import TypeVar

import httpx
from postgrest.exceptions import APIError
from pydantic import TypeAdapter, ValidationError

from app.errors import SchemaOutdated, SupabaseError, SupabaseRejected, SupabaseUnavailable

TRANSIENT_CODES = re.compile(
    r"PGRST00\d"  # PostgREST cannot reach its database, or found no free connection in time
    r"|08...|53...|58..."  # connection trouble, out of resources, I/O errors
    r"|40001|40P01|55P03"  # serialization failure, deadlock, lock not available
    r"|57014|57P0[1-5]"  # statement timeout, shutdown, starting up
    r"|25006"  # read-only transaction: Supabase's answer while the disk is full or a failover runs
)
"""SQLSTATE and PostgREST codes after which the same call may succeed later.

Sources: PostgreSQL manual, appendix A; PostgREST reference, "Errors".
"""

MISSING_CODES = frozenset({"42P01", "42703", "42883", "PGRST200", "PGRST202", "PGRST204", "PGRST205"})
"""Unknown table, column, function or relation, by PostgreSQL or by PostgREST's schema cache."""

REFUSED_KEY_CODES = frozenset({"42501", "PGRST301", "PGRST302", "PGRST303"})

T = TypeVar("T")


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
        raise SupabaseUnavailable(f"Could not {action}: {reason}. It is safe to try again.") from error
    except APIError as error:
        raise _from_api_error(action, error) from error
    except JSONDecodeError as error:
        # postgrest-py lets it through when a success has a body that is no JSON.
        raise SupabaseUnavailable(
            f"Could not {action}: the answer is no JSON ({error}). It is safe to try again."
        ) from error


def parsed(adapter: TypeAdapter[T], data: object) -> T:
    """Validate the data of an answer.

    Raises `SupabaseUnavailable` when it has not the form it should have: a truncated rpc answer, for one, comes out of
    postgrest-py as a `str`. Asking again is harmless and usually helps.
    """
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        raise SupabaseUnavailable(
            f"Supabase gave an unreadable answer ({type(data).__name__}): {problem['msg']} at {problem['loc']}. "
            "It is safe to try again; if it stays so, compare the migrations with the code."
        ) from error


def _from_api_error(action: str, error: APIError) -> SupabaseError:
    raw: object = error.code
    # postgrest-py puts the HTTP status, an int, where an answer's JSON could not be read.
    if isinstance(raw, int):
        return _from_status(action, raw, f"HTTP {raw} with a body that is not JSON")
    code = str(raw or "none")
    reason = f"{error.message} (code {code})" + (f"; hint: {error.hint}" if error.hint else "")
    if TRANSIENT_CODES.fullmatch(code):
        return SupabaseUnavailable(f"Could not {action}: {reason}. It is safe to try again.")
    if code in MISSING_CODES:
        return SchemaOutdated(
            f"Could not {action}: {reason}. Apply the migrations: `make migrate` or `supabase db push`."
        )
    if code in REFUSED_KEY_CODES:
        reason += ". SUPABASE_KEY must be the project's secret (or service_role) key"
    return SupabaseRejected(f"Could not {action}: {reason}.", code=code)


def _from_status(action: str, status: int, reason: str) -> SupabaseError:
    refused = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if refused and status not in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}:
        return SupabaseRejected(f"Could not {action}: {reason}.", code=str(status))
    return SupabaseUnavailable(f"Could not {action}: {reason}. It is safe to try again.")
