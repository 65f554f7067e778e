"""How long a caller waits for an open circuit breaker, with and without the shared state."""

import pytest
import respx
from supabase import AsyncClient

from app.errors import CircuitOpen
from app.persistence.circuit_breaker import CircuitBreakers


def shared(retry_after: float | None, *, allowed: bool = False) -> dict[str, object]:
    cause = {"reason": "HTTP 503 from arxiv", "failed_at": "2026-11-29T08:12:30+01:00"}
    return {"name": "arxiv", "state": "open", "failures": 5, "retry_after": retry_after, "allowed": allowed, **cause}


async def test_an_open_breaker_waits_as_long_as_the_shared_state_says(
    client: AsyncClient, router: respx.Router
) -> None:
    router.post("/rpc/breaker_states").respond(200, json=[shared(120.0)])
    with pytest.raises(CircuitOpen, match=r"^HTTP 503 from arxiv at 07:12 UTC, will be retried in 120 s$") as refused:
        async with CircuitBreakers(client).guard("arxiv"):
            raise AssertionError("not reached")
    assert 119 < refused.value.retry_after <= 120
    assert refused.value.cause == "HTTP 503 from arxiv at 07:12 UTC"


@pytest.mark.parametrize(("retry_after", "expected"), [(30.0, 30.0), (None, 0.0)])
async def test_a_refused_trial_gets_the_time_to_wait(
    retry_after: float | None, expected: float, client: AsyncClient, router: respx.Router
) -> None:
    router.post("/rpc/breaker_states").respond(200, json=[shared(None)])
    router.post("/rpc/breaker_try").respond(200, json=shared(retry_after))
    with pytest.raises(CircuitOpen) as refused:
        async with CircuitBreakers(client).guard("arxiv"):
            raise AssertionError("not reached")
    assert refused.value.retry_after == expected
