"""Each method's request to Supabase, with every filter and limit, and its message when Supabase fails."""

import pytest
import respx
from supabase import AsyncClient

from app.errors import SupabaseUnavailable
from tests.support.function_requests import FUNCTION_CALLS
from tests.support.persistence_requests import sent
from tests.support.requests import RequestCase
from tests.support.table_requests import TABLE_READS, TABLE_WRITES


@pytest.mark.parametrize("case", [*TABLE_READS, *TABLE_WRITES, *FUNCTION_CALLS], ids=lambda case: case.action)
async def test_each_method_sends_its_request_and_names_its_purpose(
    case: RequestCase, client: AsyncClient, router: respx.Router
) -> None:
    router.route().respond(500, json={"message": "no", "code": "57014", "hint": None, "details": None})
    with pytest.raises(SupabaseUnavailable) as refused:
        await case.call(client)
    assert router.calls.last.request.method == case.method
    assert sent(router) == (case.path, case.query, case.body)
    assert str(refused.value) == f"Could not {case.action}: no (code 57014). It is safe to try again."
