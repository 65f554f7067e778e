"""OPERATOR_CALLBACK_URL in the API process: it reports that no worker is left; wrong settings prevent the start."""

import asyncio

import pytest

from app.errors import ConfigurationError
from embedded.stack import Ready
from tests.support.applications import application
from tests.support.callback_receiver import Receiver
from tests.support.operators import settings_with_operators
from tests.support.processes import WEBHOOK_SECRET


class _AtOnce:
    """A random source whose waits are all 0."""

    def random(self) -> float:
        return 0.0


async def test_the_api_reports_that_no_worker_is_alive(
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.main.Random", _AtOnce)
    receiver = Receiver()
    await receiver.start()
    settings = settings_with_operators(
        stack,
        operator_callback_url=receiver.url,
        webhook_secret=WEBHOOK_SECRET,
        callbacks_to_private_addresses=True,
    )
    with application(settings) as app:
        async with app.router.lifespan_context(app), asyncio.timeout(30):
            while not receiver.bodies:
                await receiver.more()
                await asyncio.sleep(0)
    await receiver.stop()
    (body,) = receiver.bodies.values()
    assert isinstance(body, dict)
    assert (body["type"], body["data"]["condition"]) == ("condition.began", "no_worker")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"webhook_secret": ""}, "is set without WEBHOOK_SECRET"),
        (
            {"operator_callback_url": "http://chat.example/s3cret"},
            "cannot be called: it is not https",
        ),
        (
            {"operator_callback_url": "https://127.0.0.1/s3cret"},
            "cannot be called: its host is not",
        ),
    ],
)
async def test_a_wrong_callback_url_prevents_the_start(more: dict[str, str], reason: str, stack: Ready) -> None:
    values = {"operator_callback_url": "https://chat.example/s3cret", "webhook_secret": WEBHOOK_SECRET} | more
    with application(settings_with_operators(stack, **values)) as app, pytest.raises(ConfigurationError) as refused:
        async with app.router.lifespan_context(app):
            pass
    assert str(refused.value).startswith(f"OPERATOR_CALLBACK_URL {reason}")
    assert "s3cret" not in str(refused.value)
