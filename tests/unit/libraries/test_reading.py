"""What a sync of a library computes."""

import asyncio

from app.libraries.reading import matching_collections
from app.models.libraries import Collection


async def test_hostile_patterns_do_not_hold_the_event_loop() -> None:
    depth, turns = 30, 0
    tree = [
        Collection(key=f"K{number:07}", name="a", parent=f"K{number - 1:07}" if number % depth else None)
        for number in range(300)
    ]

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    assert await matching_collections(tree, [("**/" * 160) + "c" * number for number in range(1, 20)]) == []
    other.cancel()
    assert turns > 10, "each step ends after some milliseconds, and all of them take far longer"
