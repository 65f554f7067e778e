"""The message and the type of the error that each refused call becomes."""

import pytest
import respx
from supabase import AsyncClient

from app.errors import SchemaOutdated, SupabaseError, SupabaseRejected, SupabaseUnavailable, UnreadableResponse
from app.persistence.errors import supabase_errors

SAFE = "It is safe to try again."
MIGRATE = "Apply the migrations: `make migrate` or `supabase db push`."
KEY = "SUPABASE_KEY must be the project's secret (or service_role) key"


@pytest.mark.parametrize(
    ("status", "code", "hint", "error", "expected"),
    [
        (400, "23514", None, SupabaseRejected, "Could not read: no (code 23514)."),
        (400, "23514", "", SupabaseRejected, "Could not read: no (code 23514)."),
        (400, "23514", "ask", SupabaseRejected, "Could not read: no (code 23514); hint: ask."),
        (404, "PGRST202", None, SchemaOutdated, f"Could not read: no (code PGRST202). {MIGRATE}"),
        (500, "57014", None, SupabaseUnavailable, f"Could not read: no (code 57014). {SAFE}"),
        (403, "42501", None, SupabaseUnavailable, f"Could not read: no (code 42501). {KEY}. {SAFE}"),
    ],
)
async def test_an_error_message_has_the_code_and_the_hint(
    status: int, code: str, hint: str | None, error: type[SupabaseError], expected: str, client: AsyncClient,
    router: respx.Router,
) -> None:  # fmt: skip
    router.get("/t").respond(status, json={"message": "no", "code": code, "hint": hint, "details": None})
    with pytest.raises(error) as refused, supabase_errors("read"):
        await client.table("t").select("*").execute()
    assert type(refused.value) is error
    assert str(refused.value) == expected


@pytest.mark.parametrize("code", [{}, {"code": None}, {"code": 502}])
async def test_an_error_message_without_a_code(
    code: dict[str, object], client: AsyncClient, router: respx.Router
) -> None:
    router.post("/rpc/f").respond(200, json={"message": "odd", **code})
    with pytest.raises(UnreadableResponse) as refused, supabase_errors("call"):
        await client.rpc("f").execute()
    assert str(refused.value) == f"Could not call: the response is an error without a code: odd. {SAFE}"
