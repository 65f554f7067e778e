"""The budget of a digest: what calls reserve, cost and give back, and who waits for whom."""

import asyncio

import pytest

from app.digest.budget import Budget, Reservation
from app.digest.chat_model import Tokens

PROMPT = "word " * 80
OUTPUT = 100


async def reserved(budget: Budget) -> Reservation:
    reservation = await budget.reserve(PROMPT, OUTPUT)
    assert reservation is not None
    return reservation


@pytest.fixture
def budget() -> Budget:
    return Budget(max_calls=10, max_tokens=10_000, model="tiny")


async def test_a_refunded_call_costs_nothing(budget: Budget) -> None:
    calls = [await reserved(budget) for _ in range(4)]
    for call in calls[1:]:
        budget.charge(call, Tokens(10, 5))
    budget.refund(calls[0])
    usage = budget.usage()
    assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.estimated_calls) == (3, 30, 15, 0)
    budget.max_tokens = 45 + calls[0].total
    assert await budget.reserve(PROMPT, OUTPUT) == calls[0], "nothing of it is reserved any longer"


async def test_estimated_tokens_are_counted_as_such(budget: Budget) -> None:
    budget.charge(await reserved(budget), Tokens(10, 5, estimated=True))
    budget.charge(await reserved(budget), Tokens(10, 5))
    assert budget.usage().estimated_calls == 1


async def test_a_call_of_unknown_cost_counts_as_its_worst_case(budget: Budget) -> None:
    first = await reserved(budget)
    budget.charge(first, None)
    usage = budget.usage()
    assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.estimated_calls) == (1, first.input, 0, 1)
    budget.max_tokens = 2 * first.total - 1
    assert await budget.reserve(PROMPT, OUTPUT) is None, "its response may have cost as much as was reserved"
    budget.max_tokens += 1
    assert await budget.reserve(PROMPT, OUTPUT) == first


async def test_a_call_that_has_not_ended_counts_as_estimated(budget: Budget) -> None:
    first, second = await reserved(budget), await reserved(budget)
    assert (budget.usage().input_tokens, budget.usage().estimated_calls) == (first.input + second.input, 2)
    budget.charge(first, Tokens(10, 5))
    budget.refund(second)
    usage = budget.usage()
    assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.estimated_calls) == (1, 10, 5, 0)


async def test_the_last_call_of_a_budget_is_the_last() -> None:
    budget = Budget(max_calls=1, max_tokens=10_000, model="tiny")
    budget.charge(await reserved(budget), Tokens(1, 1))
    assert await budget.reserve(PROMPT, OUTPUT) is None


async def test_a_call_waits_only_for_running_calls(budget: Budget) -> None:
    first = await reserved(budget)
    budget.max_tokens = first.total + first.total // 2
    waiting = asyncio.create_task(budget.reserve(PROMPT, OUTPUT))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.charge(first, Tokens(1, 1))
    second = await waiting
    assert second == first, "the first call cost less than it had reserved"
    budget.charge(second, Tokens(first.input, first.output))
    assert await budget.reserve(PROMPT, OUTPUT) is None, "no call runs, so nothing will be given back"
