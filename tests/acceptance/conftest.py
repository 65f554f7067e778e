"""A receiver of callbacks, whose effects a test can count, and a folder in which commands keep their database."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.callback_receiver import Receiver


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    yield receiver
    await receiver.stop()


@pytest.fixture(scope="module")
def used_folder(stack_folder: Path) -> Iterator[Path]:
    """The folder of several commands, which an unprivileged PostgreSQL can enter. All but the first find a database."""
    folder = stack_folder / uuid4().hex
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)
