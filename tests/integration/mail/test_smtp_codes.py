"""Every code with which a server can refuse a mail: 4yz may go later, 5yz never, at each step (RFC 5321, 4.2.1)."""

import pytest

from app.mail.sender import MailLimits, NotSent
from tests.support.smtp_server import Postbox, key_of, mail_to, say, sender_to

LIMITS = MailLimits(
    concurrency=1,
    per_second=100_000,
    step_timeout=10,
    response_timeout=10,
    cancel_grace=10,
    idle_timeout=60,
    mails_per_connection=1_000,
)
PERMANENT = [*range(500, 560), 571, 599]
"""500 to 504 are about commands, 550 to 555 about mailboxes and mails, the others of extensions or of nobody."""
TRANSIENT = [code for code in range(400, 460) if code != 421]
"""After 421 the server closes the connection; `test_smtp` has it."""
UNKNOWN = [199, 299, 300, 399, 600, 699]
"""Neither success nor an error of RFC 5321. The mail goes later, over another connection."""


async def refusals(
    postbox: Postbox, stage: str, codes: list[int], text: str, *, connections: int = 1
) -> list[tuple[bool, bool]]:
    """Have a mail refused with each code; return for each whether that is transient, and a bounce."""
    found = []
    with sender_to(postbox.url(), LIMITS) as sender:
        for code in codes:
            postbox.steps[stage] = say(f"{code} {text}")
            with pytest.raises(NotSent, match=f"responded {code} ") as caught:
                await sender.send(mail_to(), key_of())
            found.append((caught.value.transient, caught.value.bounce))
    assert (postbox.taken, postbox.connections) == ([], connections)
    return found


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
async def test_every_5yz_is_permanent(postbox: Postbox, stage: str) -> None:
    assert await refusals(postbox, stage, PERMANENT, "5.0.0 no") == [(False, False)] * len(PERMANENT)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
async def test_every_4yz_is_transient(postbox: Postbox, stage: str) -> None:
    assert await refusals(postbox, stage, TRANSIENT, "4.0.0 later") == [(True, False)] * len(TRANSIENT)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT"])
async def test_every_code_without_a_meaning_is_transient(postbox: Postbox, stage: str) -> None:
    found = await refusals(postbox, stage, UNKNOWN, "5.1.1 what", connections=len(UNKNOWN))
    assert found == [(True, False)] * len(UNKNOWN)


async def test_every_5yz_with_5_1_x_of_the_recipient_is_a_bounce(postbox: Postbox) -> None:
    assert await refusals(postbox, "RCPT", PERMANENT, "5.1.1 no such user") == [(False, True)] * len(PERMANENT)
