"""Callbacks: the signature verifies, private addresses and redirects are refused, every failure has its meaning."""

import json
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
import respx
from standardwebhooks import Webhook, WebhookVerificationError

from app.addresses import is_public
from app.errors import PermanentError
from worker.callbacks import CallbackSender, DeliveryFailed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT_SECRET = "whsec_Q0hBTkdFRCBXSVRIT1VUIEEgUEFVU0U="
OTHER_SECRET = "whsec_U09NRUJPRFkgRUxTRSdTIFNFQ1JFVCE="
PUBLIC = "93.184.215.14"
URL = "https://receiver.example/hooks?x=1"
BODY = {"task_id": "7f", "status": "completed"}


@pytest.fixture
def router() -> respx.Router:
    return respx.Router()


@pytest.fixture
async def http(router: respx.Router) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler), follow_redirects=True) as client:
        yield client


def sender(http: httpx.AsyncClient, *addresses: str, private: bool = False) -> CallbackSender:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return CallbackSender(http, [Webhook(SECRET), Webhook(NEXT_SECRET)], private=private, resolve=resolve)


async def test_delivery_is_signed_and_goes_to_the_address_that_was_checked(
    http: httpx.AsyncClient, router: respx.Router
) -> None:
    route = router.post(f"https://{PUBLIC}/hooks?x=1").respond(204)
    assert await sender(http, PUBLIC).send(URL, "cb_1", BODY) == 204
    request = route.calls.last.request
    assert request.headers["host"] == "receiver.example"
    assert request.extensions["sni_hostname"] == "receiver.example"
    assert request.headers["webhook-id"] == "cb_1"
    for secret in (SECRET, NEXT_SECRET):
        assert Webhook(secret).verify(request.content, dict(request.headers)) == BODY
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER_SECRET).verify(request.content, dict(request.headers))


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 429, 500, 503])
async def test_anything_but_2xx_is_tried_again_and_redirects_are_not_followed(
    status: int, http: httpx.AsyncClient, router: respx.Router
) -> None:
    route = router.post().respond(status, headers={"location": "https://elsewhere.example/"})
    with pytest.raises(DeliveryFailed, match=str(status)):
        await sender(http, PUBLIC).send(URL, "cb_1", BODY)
    assert route.call_count == 1


async def test_gone_is_final(http: httpx.AsyncClient, router: respx.Router) -> None:
    router.post().respond(410)
    with pytest.raises(PermanentError, match="410 Gone"):
        await sender(http, PUBLIC).send(URL, "cb_1", BODY)


async def test_unreachable_receiver_is_tried_again(http: httpx.AsyncClient, router: respx.Router) -> None:
    router.post().mock(side_effect=httpx.ConnectError("refused"))
    with pytest.raises(DeliveryFailed, match="ConnectError"):
        await sender(http, PUBLIC).send(URL, "cb_1", BODY)


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("10.0.0.5",), (PUBLIC, "169.254.169.254"), ("::1",)])
async def test_private_addresses_are_refused_also_after_dns(
    addresses: tuple[str, ...], http: httpx.AsyncClient, router: respx.Router
) -> None:
    route = router.post().respond(200)
    with pytest.raises(PermanentError, match="not public"):
        await sender(http, *addresses).send(URL, "cb_1", BODY)
    assert route.call_count == 0


async def test_plain_http_needs_the_setting(http: httpx.AsyncClient, router: respx.Router) -> None:
    route = router.post("http://127.0.0.1:8080/hook").respond(200)
    with pytest.raises(PermanentError, match="not https"):
        await sender(http, "127.0.0.1").send("http://localhost:8080/hook", "cb_1", BODY)
    await sender(http, "127.0.0.1", private=True).send("http://localhost:8080/hook", "cb_1", BODY)
    assert json.loads(route.calls.last.request.content) == BODY


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07::1", True),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104  (an address to refuse)
        ("224.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("fe80::1%eth0", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public
