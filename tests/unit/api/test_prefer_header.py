"""`Prefer` headers as RFC 7240 defines them, and invalid ones."""

import pytest

from app.api.waiting import MAX_WAIT, wait_seconds
from tests.support.loop_blocking import shortest


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["wait=20"], 20),
        (["WAIT = 20"], 20),
        (['wait="20"'], 20),
        (["respond-async, wait=10"], 10),
        (["respond-async", "wait=10"], 10),
        (["wait=10; strict"], 10),
        (["wait=0"], 0),
        (["wait=3600"], MAX_WAIT),
        (["wait=5, wait=7"], 5),
        (['foo="a, wait=5", wait=7'], 7),
        ([], None),
        (["return=minimal"], None),
        (["wait"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=soon"], None),
        (["await=5"], None),
        (["wait=99999999999999999999"], None),
        (["\0wait=5"], None),
    ],
)
def test_the_wait_preference_is_parsed(headers: list[str], seconds: int | None) -> None:
    assert wait_seconds(headers) == seconds


@pytest.mark.parametrize("text", ['"' * 60_000, ',"' * 30_000, '"\\' * 30_000, "wait=" * 12_000, "wait" + " " * 60_000])
def test_parsing_a_header_does_not_hold_the_loop(text: str) -> None:
    assert shortest(lambda: wait_seconds([text]), 0.05) < 0.05
    assert wait_seconds([text]) is None
