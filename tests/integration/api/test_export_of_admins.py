"""An export contains the caller's own readers, also for an admin: the same caller can import it."""

import pytest

from tests.integration.api.recorded_requests import api_before, headers_of, recorded_calls
from tests.support.rows import READER


@pytest.mark.parametrize("caller", ["ada", "root"])
async def test_an_export_asks_for_the_callers_own_readers(caller: str) -> None:
    async with api_before([READER], []) as (http, server):
        response = await http.get("/v1/readers/export", headers=headers_of(caller))
    assert response.status_code == 200
    queries = recorded_calls(server)
    assert queries
    assert [query["owner"] for _, query in queries] == [f"eq.{caller}"] * len(queries)
