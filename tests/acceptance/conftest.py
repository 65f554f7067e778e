"""A receiver of callbacks, and tasks that call it: work whose effect can be counted from outside."""

from collections.abc import AsyncIterator

import pytest

from tests.support.callback_receiver import Receiver


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    yield receiver
    await receiver.stop()
