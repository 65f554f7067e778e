"""Callback URLs: invalid ones are refused with a reason, and accepted ones can be called."""

import httpx
import pytest
import respx
from standardwebhooks import Webhook

from app.external.callback_sender import CallbackSender
from app.external.callback_urls import checked_callback_url
from app.external.client import ExternalClient
from tests.support.processes import WEBHOOK_SECRET

PUBLIC = "93.184.215.14"
TAKEN = [
    "https://receiver.example/hooks?x=1",
    "https://receiver.example:8443",
    "HTTPS://Receiver.Example/",
    "https://receiver.example./",
    "https://réceiver.example/é?ü=1 2",
    "https://a_b.example/#part",
    f"https://{'a.' * 123}example/",
    f"https://{'a' * 63}.example/",
    f"https://{PUBLIC}/",
    "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:8443/x",
]
REFUSED = {
    "https://receiver.example/\0": "not a valid URL",
    "https://rec\0eiver.example/": "not a valid URL",
    "https://receiver.example/\ud800": "not a valid URL",
    "https://receiver.example/\n": "not a valid URL",
    "": "not a valid URL",
    "receiver.example": "not a valid URL",
    "https://": "not a valid URL",
    "https://[::1/": "not a valid URL",
    "https://receiver.example:99999/": "not a valid URL",
    "https://xn--a/": "not a valid URL",
    "https://rec eiver.example/": "not a valid URL",
    "https://[fe80::1%25eth0]/": "not a valid URL",
    "https:receiver.example": "in two ways",
    "https://public.example\\@private.example/": "in two ways",
    "https://0x7f.1/": "in two ways",
    "https://2130706433/": "in two ways",
    f"https://{'a' * 64}.example/": "not a valid host name",
    f"https://{'a.' * 123}examples/": "not a valid host name",
    "https://receiver..example/": "not a valid host name",
    "https://*.example/": "not a valid host name",
    "https://-a.example/": "not a valid host name",
    "http://receiver.example/": "not https",
    "ftp://receiver.example/": "not a valid URL",
    "https://user@receiver.example/": "user name",
    "https://:secret@receiver.example/": "user name",
    "https://receiver.example:0/": "port 0",
    "https://127.0.0.1/": "not public",
    "https://[::ffff:10.0.0.1]/": "not public",
    "https://169.254.169.254/latest": "not public",
    "https://localhost/": "not public",
    "https://a.localhost./": "not public",
}


@pytest.mark.parametrize("url", TAKEN)
async def test_an_accepted_url_can_be_called(url: str) -> None:
    checked_callback_url(url, private=False)
    router = respx.Router()
    route = router.post().respond(204)
    async with httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler)) as http:
        sender = CallbackSender(ExternalClient(http), [Webhook(WEBHOOK_SECRET)])
        assert await sender.send(url, "cb_1", {}) == 204
    assert route.call_count == 1


@pytest.mark.parametrize(("url", "reason"), REFUSED.items(), ids=map(ascii, REFUSED))
def test_an_uncallable_url_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        checked_callback_url(url, private=False)


def test_development_allows_http_and_private_addresses() -> None:
    for url in ("http://127.0.0.1:8000/hook", "http://localhost/", "https://10.0.0.1/"):
        assert checked_callback_url(url, private=True) == httpx.URL(url)
    with pytest.raises(ValueError, match="not a valid URL"):
        checked_callback_url("ftp://127.0.0.1/", private=True)
