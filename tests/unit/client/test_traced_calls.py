"""The spans of calls to Supabase: one for each attempt, with the table or function and nothing that may be secret."""

import httpx
import pytest
import respx

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.tracing.current import active_spans
from tests.support.mocked_supabase import MockedSupabase
from tests.support.spans import Seen, recorded_spans


async def spans_of(*answers: httpx.Response | Exception) -> list[Seen]:
    """Read a row in a recorded trace; return the spans of its attempts."""
    router = respx.Router()
    router.route().mock(side_effect=list(answers))
    settings = SupabaseSettings.model_validate(
        {"supabase_url": "http://project.test", "supabase_key": "sb_secret_x", "supabase_retries": len(answers) - 1}
    )
    with recorded_spans() as recorded:
        async with open_supabase(settings, transport=MockedSupabase(router.async_handler)) as client:
            spans = active_spans()
            assert spans is not None
            with spans.server("POST", None):
                await client.table("items").select("*").eq("name", "secret").execute()
    return [span for span in recorded.spans if span.kind == "CLIENT"]


async def test_a_call_has_its_table_and_no_query() -> None:
    (span,) = await spans_of(httpx.Response(200, json=[]))
    assert (span.name, span.error) == ("GET items", False)
    assert span.attributes == {
        "http.request.method": "GET",
        "server.address": "project.test",
        "server.port": 80,
        "url.scheme": "http",
        "url.full": "http://project.test/rest/v1/items",
        "url.template": "items",
        "http.response.status_code": 200,
    }


async def test_each_repetition_has_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.transport.FIRST_BACKOFF", 0)
    spans = await spans_of(httpx.Response(503), httpx.ConnectError("no"), httpx.Response(200, json=[]))
    assert [span.attributes.get("http.request.resend_count") for span in spans] == [None, 1, 2]
    assert [span.attributes.get("error.type") for span in spans] == ["503", "httpx.ConnectError", None]


async def test_a_call_outside_a_trace_has_no_span() -> None:
    settings = SupabaseSettings.model_validate({"supabase_url": "http://project.test", "supabase_key": "sb_secret_x"})
    router = respx.Router()
    router.route().respond(200, json=[])
    with recorded_spans() as recorded:
        async with open_supabase(settings, transport=MockedSupabase(router.async_handler)) as client:
            await client.table("items").select("*").execute()
    assert recorded.spans == []
