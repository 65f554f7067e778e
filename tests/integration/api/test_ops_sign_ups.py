"""The operator's page shows the limits of sign-ups, and how much of them is used."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from supabase import AsyncClient

from app.config import ApiSettings
from embedded.stack import Ready
from tests.support.confirmations import send_next, sign_up
from tests.support.operators import Operator, settings_with_operators
from tests.support.running_api import RunningApi

LINKS = {"public_url": "http://digest.example", "link_secret": "s" * 32, "public_sign_up": "true"}


@pytest.fixture
def changes() -> dict[str, str]:
    return LINKS


@pytest.fixture
def settings(
    stack: Ready,
    changes: dict[str, str],
    database_reset: None,  # noqa: ARG001  (run first)
) -> ApiSettings:
    return settings_with_operators(stack, sign_ups_per_hour=1234, sign_ups_per_network=77, **changes)


@pytest.fixture
async def http(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=60) as http:
        await Operator(http).sign_in()
        yield http


async def test_the_limits_of_sign_ups_are_shown_with_their_use(http: httpx.AsyncClient, client: AsyncClient) -> None:
    for number, network in enumerate(("192.0.2.0/24", "192.0.2.0/24", "198.51.100.0/24")):
        await sign_up(client, f"{number}@example.org", network)
    await send_next(client)
    page = (await http.get("/ops")).text
    section = page.partition('id="sign-ups"')[2].partition("</section>")[0]
    figures = re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", section)
    assert figures == [
        ("last hour, of 1,234", "3"),
        ("one network, of 77", "2"),
        ("confirmation mails, 24 h", "1"),
    ]
    assert '<a href="/subscribe">' in section
    assert "unconfirmed" in (await http.get("/ops/readers?status=unconfirmed")).text


@pytest.mark.parametrize("changes", [{}], ids=["off"])
async def test_operators_see_that_the_page_is_off(http: httpx.AsyncClient, changes: dict[str, str]) -> None:
    assert changes == {}
    page = (await http.get("/ops")).text
    assert "<code>PUBLIC_SIGN_UP</code> is not true" in page
