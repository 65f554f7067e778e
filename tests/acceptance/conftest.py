"""A receiver of callbacks, and callback tasks that call it, so that a test can count their effects."""

from collections.abc import AsyncIterator

import pytest

from tests.support.callback_receiver import Receiver


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    yield receiver
    await receiver.stop()
