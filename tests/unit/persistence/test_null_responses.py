"""Which responses each call accepts: null and 204 only where the call declares that they are valid."""

import re
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
import respx
from structlog.testing import capture_logs
from supabase import AsyncClient

from app.errors import BroadsheetError, CircuitOpen, SupabaseUnavailable, UnreadableResponse
from app.persistence.cache import HybridCache
from app.persistence.circuit_breaker import BreakerSettings, CircuitBreakers
from app.persistence.ended_sessions import EndedSessions
from tests.support.requests import RequestCase
from tests.support.void_functions import CALLS, VOID, function_of

NULLABLE = {
    "breaker_success", "cache_get", "cancel_for_operator", "cancel_task", "deliveries_paused", "finish_edition",
    "upsert_reader_papers", "redeliver", "replay_task", "resolve_for_operator", "open_upload", "finish_upload",
    "begin_import", "import_entries", "read_piece", "request_link", "read_library", "connect_library",
    "begin_key_check", "claim_library", "hold_library", "library_versions", "task_details",
    "resend_confirmation",
}  # fmt: skip
SWALLOWED = {"breaker_try", "breaker_failure", "breaker_success", "cache_get", "cache_put"}
"""Called by classes that fall back to local state without Supabase; the tests below cover them."""

SOURCES = Path(__file__).parents[3] / "app" / "persistence"


EMPTY = httpx.Response(200)
NO_CONTENT = httpx.Response(204)
NULL = httpx.Response(200, text="null")


def replying(router: respx.Router, reply: httpx.Response) -> None:
    router.route().mock(side_effect=lambda _request: httpx.Response(reply.status_code, content=reply.content))


async def outcome(case: RequestCase, client: AsyncClient) -> type[BroadsheetError] | None:
    try:
        await case.call(client)
    except BroadsheetError as error:
        return type(error)
    return None


DAMAGED = ("", "{}", "[{", '{"', "<html>", "no", '"', '{"message": "no"}')
NO_RESULT = ("[]", "true", '"text"', "0")


async def accepted(
    bodies: Sequence[str], case: RequestCase, client: AsyncClient, router: respx.Router
) -> dict[str, object]:
    """The bodies for which the call raises no `UnreadableResponse`, and its outcomes."""
    outcomes = {}
    for body in bodies:
        router.clear()
        replying(router, httpx.Response(200, text=body))
        outcomes[body] = await outcome(case, client)
    return {body: result for body, result in outcomes.items() if result is not UnreadableResponse}


@pytest.mark.parametrize("case", CALLS, ids=lambda case: case.action)
async def test_no_call_accepts_a_damaged_response(case: RequestCase, client: AsyncClient, router: respx.Router) -> None:
    assert await accepted(DAMAGED, case, client, router) == {}


@pytest.mark.parametrize("case", CALLS, ids=lambda case: case.action)
async def test_only_declared_calls_accept_null(case: RequestCase, client: AsyncClient, router: respx.Router) -> None:
    replying(router, NULL)
    valid = function_of(case) in VOID | NULLABLE
    assert (await outcome(case, client) is not UnreadableResponse) == valid


@pytest.mark.parametrize("case", CALLS, ids=lambda case: case.action)
async def test_only_void_calls_accept_no_content(case: RequestCase, client: AsyncClient, router: respx.Router) -> None:
    replying(router, NO_CONTENT)
    assert await outcome(case, client) is (None if function_of(case) in VOID else UnreadableResponse)


@pytest.mark.parametrize("case", [each for each in CALLS if function_of(each) in VOID], ids=lambda each: each.action)
async def test_a_void_call_accepts_no_result(case: RequestCase, client: AsyncClient, router: respx.Router) -> None:
    assert await accepted(NO_RESULT, case, client, router) == {}


def test_every_called_function_is_tested() -> None:
    call = r'(?:\.rpc|_call|_found|_page|_change_task|_report)\(\s*"(\w+)"'
    text = "".join(file.read_text(encoding="utf-8") for file in SOURCES.glob("*.py"))
    assert set(re.findall(call, text)) - SWALLOWED == {function_of(case) for case in CALLS} - {None} - SWALLOWED


@pytest.mark.parametrize("reply", [EMPTY, NO_CONTENT, httpx.Response(200, text="[]")])
async def test_an_unreadable_cache_entry_is_none_and_logged(
    reply: httpx.Response, client: AsyncClient, router: respx.Router
) -> None:
    replying(router, reply)
    with capture_logs() as logs:
        assert await HybridCache(client).get("k") is None
    assert [each["event"] for each in logs] == ["cache not read"]


async def test_a_missing_cache_entry_is_none(client: AsyncClient, router: respx.Router) -> None:
    replying(router, NULL)
    with capture_logs() as logs:
        assert await HybridCache(client).get("k") is None
    assert logs == []


async def test_a_session_is_not_ended_by_a_damaged_response(client: AsyncClient, router: respx.Router) -> None:
    replying(router, httpx.Response(200, text='"ended"'))
    with pytest.raises(SupabaseUnavailable):
        await EndedSessions(client).has_ended("s")


async def test_a_breaker_without_a_readable_state_works_locally(client: AsyncClient, router: respx.Router) -> None:
    replying(router, NULL)
    breakers = CircuitBreakers(client, BreakerSettings(threshold=1))
    with pytest.raises(RuntimeError):
        async with breakers.guard("arxiv"):
            raise RuntimeError
    with pytest.raises(CircuitOpen):
        async with breakers.guard("arxiv"):
            pass
