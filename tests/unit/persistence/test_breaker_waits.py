"""How long a caller is told to leave a service alone, as the shared state has it or without it."""

import pytest
import respx
from supabase import AsyncClient

from app.errors import CircuitOpen
from app.persistence.circuit_breaker import CircuitBreakers


def shared(retry_after: float | None, *, allowed: bool = False) -> dict[str, object]:
    return {"name": "arxiv", "state": "open", "failures": 5, "retry_after": retry_after, "allowed": allowed}


async def test_an_open_breaker_is_left_alone_for_as_long_as_the_shared_state_says(
    client: AsyncClient, router: respx.Router
) -> None:
    router.post("/rpc/breaker_states").respond(200, json=[shared(120.0)])
    with pytest.raises(CircuitOpen, match="arxiv failed too often and is left alone for 120 s more") as refused:
        async with CircuitBreakers(client).guard("arxiv"):
            raise AssertionError("not reached")
    assert 119 < refused.value.retry_after <= 120


@pytest.mark.parametrize(("retry_after", "told"), [(30.0, 30.0), (None, 0.0)])
async def test_who_may_not_try_hears_how_long_the_trial_may_take(
    retry_after: float | None, told: float, client: AsyncClient, router: respx.Router
) -> None:
    router.post("/rpc/breaker_states").respond(200, json=[shared(None)])
    router.post("/rpc/breaker_try").respond(200, json=shared(retry_after))
    with pytest.raises(CircuitOpen) as refused:
        async with CircuitBreakers(client).guard("arxiv"):
            raise AssertionError("not reached")
    assert refused.value.retry_after == told
