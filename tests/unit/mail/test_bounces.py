"""The mail provider's webhook: only recent events with a valid signature are accepted."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import ConfigurationError
from app.mail.bounces import MAX_BODY, Bounce, BounceReader, InvalidWebhook
from tests.support.mail_hook import OTHER_SECRET, SECRET, event, signed

NEXT_SECRET = "whsec_Q0hBTkdFRCBXSVRIT1VUIEEgUEFVU0U="
READER = BounceReader([NEXT_SECRET, SECRET])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (event(), Bounce("ada@example.org", True, "bounced: Permanent, General, The address has no mailbox.")),
        (
            event(bounce={"type": "Transient", "subType": "MailboxFull"}),
            Bounce("ada@example.org", False, "bounced: Transient, MailboxFull"),
        ),
        (event(bounce={"type": "Undetermined"}), Bounce("ada@example.org", False, "bounced: Undetermined")),
        (event(bounce=None), Bounce("ada@example.org", False, "bounced: no reason given")),
        (event("email.complained"), Bounce("ada@example.org", True, "the reader marked a mail as spam")),
        (
            event("email.suppressed", suppressed={"message": "On the list"}),
            Bounce("ada@example.org", True, "suppressed by the provider: On the list"),
        ),
    ],
)
def test_events_become_bounces(content: object, expected: Bounce) -> None:
    assert READER.read(*signed(content)) == [expected]


@pytest.mark.parametrize("secret", [SECRET, NEXT_SECRET])
def test_a_signature_of_either_secret_is_valid(secret: str) -> None:
    assert len(READER.read(*signed(event(), secret=secret))) == 1


@pytest.mark.parametrize(
    "content",
    [event("email.delivered"), event("email.opened"), event("contact.created"), event(None), event(["x"]),  # type: ignore[arg-type]  # hostile
     event(to=None), event(to=[]), event(to=[7, None, {}, "nobody"]), {"type": "email.bounced"}, [], 7, None, "x",
     {"type": "email.bounced", "data": "x"}],
)  # fmt: skip
def test_an_event_without_a_failed_address_is_no_bounce(content: object) -> None:
    assert list(READER.read(*signed(content))) == []


def test_hostile_texts_are_shortened_and_cleaned() -> None:
    content = event(
        to=["a@b.c\r\nBcc: x@y.z" * 100] * 99, bounce={"type": "Permanent", "message": "\x1b[31m\ud800" * 900}
    )
    found = READER.read(*signed(content))
    assert len(found) == 50
    assert all(len(one.address) <= 254 and len(one.reason) <= 300 for one in found)
    assert not set(found[0].address + found[0].reason) & {"\r", "\n", "\x1b", "\ud800"}


def without(name: str) -> tuple[bytes, dict[str, str]]:
    body, headers = signed(event())
    return body, {key: value for key, value in headers.items() if key.lower() != name}


def with_header(name: str, value: str) -> tuple[bytes, dict[str, str]]:
    body, headers = without(name)
    return body, headers | {name: value}


BODY, HEADERS = signed(event())
REFUSED = {
    "other secret": signed(event(), secret=OTHER_SECRET),
    "too old": signed(event(), age=timedelta(minutes=6)),
    "from the future": signed(event(), age=timedelta(hours=-6)),
    "changed body": (BODY.replace(b"ada@", b"eve@"), HEADERS),
    "no headers": (BODY, {}),
    "no id": without("svix-id"),
    "no time": without("svix-timestamp"),
    "no signature": without("svix-signature"),
    "another id": with_header("svix-id", "msg_2"),
    "another time": with_header("svix-timestamp", str(int(datetime.now(UTC).timestamp()) - 60)),
    "no number": with_header("svix-timestamp", "NaN"),
    "endless": with_header("svix-timestamp", "9" * 400),
    "version 2": with_header("svix-signature", HEADERS["SVIX-SIGNATURE"].replace("v1,", "v2,")),
    "no version": with_header("svix-signature", "x"),
    "commas": with_header("svix-signature", ",,,, ,"),
    "no base64": with_header("svix-signature", "v1,é!"),
    "empty": with_header("svix-signature", "v1,"),
    "no UTF-8": (b"\xff\xfe", HEADERS),
    "no JSON": signed(b"{"),
    "too deep": signed(b"[" * 100_000),
    "too long": signed(b" " * MAX_BODY + b"{}"),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
def test_invalid_signatures_are_refused(request_: tuple[bytes, dict[str, str]]) -> None:
    with pytest.raises(InvalidWebhook):
        READER.read(*request_)


def test_without_a_secret_every_event_is_refused() -> None:
    with pytest.raises(InvalidWebhook):
        BounceReader([]).read(BODY, HEADERS)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_?"])
def test_an_invalid_secret_stops_the_start_and_is_not_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="RESEND_WEBHOOK_SECRET"):
        BounceReader([SECRET, secret])


def test_the_secret_has_the_format_of_standard_webhooks() -> None:
    key = base64.b64encode(b"k" * 24).decode()
    assert READER.read(*signed(event(), secret=SECRET))
    with pytest.raises(InvalidWebhook):
        READER.read(*signed(event(), secret=f"whsec_{key}"))
