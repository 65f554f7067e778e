"""Sending by SMTP to a real server: the reported outcome agrees with what the server accepted, for every failure."""

import asyncio
import email
import email.policy
from contextlib import suppress
from dataclasses import replace

import pytest
from aiosmtpd.smtp import SMTP

from app.config.mail_url import SmtpUrl
from app.mail.sender import InDoubt, MailLimits, NotSent, Sent
from tests.support.smtp_server import (
    QUICK,
    Certificates,
    ElsewhereUrl,
    Hook,
    Postbox,
    authenticate,
    break_off,
    break_off_midway,
    hang,
    key_of,
    mail_to,
    quick_server,
    say,
    sender_to,
)

HASTY = replace(QUICK, step_timeout=1.5, response_timeout=1.5)
"""For servers that hang. The next mail has these limits too, so a loaded machine must keep them."""


def limits_for(trouble: Hook) -> MailLimits:
    return HASTY if trouble is hang else QUICK


async def test_the_server_receives_the_exact_bytes(postbox: Postbox) -> None:
    mail = mail_to(text=".\n..dots\nFrom here\n" + "x" * 5_000, page="<p>.</p>\n.\n<p>Ünïcode 🦉</p>")
    with sender_to(postbox.url()) as sender:
        assert await sender.send(mail, key_of()) == Sent()
    assert postbox.taken == [mail.as_bytes()]
    parsed = email.message_from_bytes(postbox.taken[0], policy=email.policy.strict)
    body = parsed.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines()[:3] == [".", "..dots", "From here"]


async def test_many_mails_go_over_one_connection(postbox: Postbox) -> None:
    with sender_to(postbox.url()) as sender:
        for number in range(20):
            await sender.send(mail_to(number), key_of(number))
    assert (len(postbox.taken), postbox.connections) == (20, 1)


async def test_a_connection_has_a_largest_number_of_mails(postbox: Postbox) -> None:
    with sender_to(postbox.url(), replace(QUICK, mails_per_connection=3)) as sender:
        for number in range(7):
            await sender.send(mail_to(number), key_of(number))
    assert (len(postbox.taken), postbox.connections) == (7, 3)


async def test_connections_are_limited_and_each_mail_is_sent_once(postbox: Postbox) -> None:
    with sender_to(postbox.url(), replace(QUICK, concurrency=3)) as sender:
        await asyncio.gather(*(sender.send(mail_to(number), key_of(number)) for number in range(30)))
    assert postbox.connections <= 3
    assert len(set(postbox.taken)) == len(postbox.taken) == 30


async def test_mails_start_no_faster_than_the_rate(postbox: Postbox) -> None:
    loop = asyncio.get_running_loop()
    with sender_to(postbox.url(), replace(QUICK, concurrency=5, per_second=20)) as sender:
        begin = loop.time()
        await asyncio.gather(*(sender.send(mail_to(number), key_of(number)) for number in range(5)))
    assert loop.time() - begin >= 4 / 20


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("answer", "transient", "bounce"),
    [
        ("450 4.2.0 greylisted", True, False),
        ("421 4.3.2 going down", True, False),
        ("550 5.7.1 we do not like you", False, False),
        ("552 5.3.4 too big", False, False),
        ("550 5.1.1 no such user", False, True),
        ("553 5.1.8 bad sender's domain", False, False),
        ("450 4.1.1 no such user yet", True, False),
    ],
)
async def test_a_refusal_tells_temporary_permanent_or_bad_address(
    postbox: Postbox, stage: str, answer: str, transient: bool, bounce: bool
) -> None:
    postbox.steps[stage] = say(answer)
    with sender_to(postbox.url()) as sender:
        with pytest.raises(NotSent) as caught:
            await sender.send(mail_to(), key_of())
        assert (caught.value.transient, caught.value.bounce) == (transient, bounce and stage != "MAIL")
        assert answer in str(caught.value)
        # The next mail is sent without the refused one.
        del postbox.steps[stage]
        await sender.send(mail_to(2), key_of(2))
    assert postbox.taken == [mail_to(2).as_bytes()]
    assert postbox.connections == (2 if answer.startswith("421") else 1)


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "RCPT", "CONTENT"])
@pytest.mark.parametrize("trouble", [hang, break_off, break_off_midway])
async def test_a_failure_before_the_final_dot_means_not_sent(postbox: Postbox, stage: str, trouble: Hook) -> None:
    postbox.steps[stage] = trouble
    # More than the buffers of both sockets hold, so the end cannot have been sent.
    mail = mail_to(text="x" * 76 * 250_000) if stage == "CONTENT" else mail_to()
    with sender_to(postbox.url(), limits_for(trouble)) as sender:
        with pytest.raises(NotSent) as caught:
            await sender.send(mail, key_of())
        assert (caught.value.transient, caught.value.bounce) == (True, False)
        del postbox.steps[stage]
        await sender.send(mail_to(2), key_of(2))
    assert postbox.taken == [mail_to(2).as_bytes()]
    assert postbox.connections == 2


@pytest.mark.parametrize("trouble", [hang, break_off, say("what?"), say("354 more please")])
async def test_a_failure_after_the_final_dot_means_in_doubt(postbox: Postbox, trouble: Hook) -> None:
    postbox.steps["DATA"] = trouble
    with sender_to(postbox.url(), limits_for(trouble)) as sender:
        with pytest.raises(InDoubt) as caught:
            await sender.send(mail_to(), key_of())
        assert not caught.value.repeatable
        del postbox.steps["DATA"]
        await sender.send(mail_to(2), key_of(2))
    assert postbox.taken == [mail_to(2).as_bytes()]
    assert postbox.connections == 2


async def test_an_immediate_response_is_not_missed() -> None:
    limits = replace(QUICK, concurrency=8, per_second=1e9)
    with quick_server() as port, sender_to(SmtpUrl("127.0.0.1", port, False), limits) as sender:
        for begin in range(0, 500, 50):
            mails = range(begin, begin + 50)
            await asyncio.gather(*(sender.send(mail_to(number), key_of(number)) for number in mails))
        # Closed here, because the server's threads wait for it.
        sender.close()
        await asyncio.sleep(0.05)


async def test_an_unreachable_server_means_not_sent(postbox: Postbox) -> None:
    with sender_to(replace(postbox.url(), port=1)) as sender, pytest.raises(NotSent, match=r"127\.0\.0\.1:1") as caught:
        await sender.send(mail_to(), key_of())
    assert caught.value.transient


@pytest.mark.parametrize("greeting", ["554 go away", "421 busy", "hello", "2" * 100_000 + "\r\n", ""])
async def test_an_unexpected_greeting_is_a_temporary_failure(greeting: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting.encode() + (b"\r\n" if greeting else b""))
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    gone = asyncio.Event()
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with sender_to(SmtpUrl("127.0.0.1", port, False), HASTY) as sender, pytest.raises(NotSent) as caught:
            await sender.send(mail_to(), key_of())
        await gone.wait()
    assert caught.value.transient
    assert len(str(caught.value)) < 400


async def test_a_closed_idle_connection_is_replaced(postbox: Postbox) -> None:
    with sender_to(postbox.url()) as sender:
        await sender.send(mail_to(1), key_of(1))
        for trouble in (break_off, say("421 4.4.2 idle too long")):
            postbox.steps["RSET"] = trouble
            await sender.send(mail_to(2), key_of(2))
    assert (len(postbox.taken), postbox.connections) == (3, 3)


async def test_an_idle_connection_is_closed_with_quit(postbox: Postbox) -> None:
    postbox.steps["QUIT"] = say("221 Bye")
    with sender_to(postbox.url(), replace(QUICK, idle_timeout=0.05)) as sender:
        await sender.send(mail_to(1), key_of(1))
        await postbox.reached.wait()
        await sender.send(mail_to(2), key_of(2))
    assert postbox.connections == 2
    assert postbox.commands.count("QUIT") >= 1


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "RCPT"])
async def test_a_cancel_before_the_content_sends_nothing(postbox: Postbox, stage: str) -> None:
    postbox.steps[stage] = hang
    with sender_to(postbox.url()) as sender:
        sending = asyncio.create_task(sender.send(mail_to(), key_of()))
        await postbox.reached.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        del postbox.steps[stage]
        await sender.send(mail_to(2), key_of(2))
    assert postbox.taken == [mail_to(2).as_bytes()]


async def test_a_cancel_after_the_final_dot_still_reports_sent(postbox: Postbox) -> None:
    go_on = asyncio.Event()

    async def wait(box: Postbox, _server: object) -> str:
        box.reached.set()
        await go_on.wait()
        return "250 2.0.0 taken after all"

    postbox.steps["DATA"] = wait
    with sender_to(postbox.url()) as sender:
        sending = asyncio.create_task(sender.send(mail_to(), key_of()))
        await postbox.reached.wait()
        sending.cancel()
        await asyncio.sleep(0.05)
        assert not sending.done()
        go_on.set()
        assert await sending == Sent()


async def test_a_timeout_after_the_final_dot_awaits_the_response(postbox: Postbox) -> None:
    over = asyncio.Event()

    async def wait(_box: Postbox, _server: object) -> str:
        await over.wait()
        return "250 2.0.0 taken after all"

    postbox.steps["DATA"] = wait
    with sender_to(postbox.url()) as sender:
        async with asyncio.timeout(0.1) as limit:
            asyncio.get_running_loop().call_later(0.3, over.set)
            assert await sender.send(mail_to(), key_of()) == Sent()
            assert limit.expired()
            # The outcome after the response can still be recorded.
            await asyncio.sleep(0)


@pytest.mark.parametrize("again", [True, False], ids=["cancelled twice", "too long"])
async def test_a_cancel_without_a_response_means_in_doubt(postbox: Postbox, again: bool) -> None:
    postbox.steps["DATA"] = hang
    with sender_to(postbox.url(), replace(QUICK, response_timeout=30, cancel_grace=30 if again else 0.1)) as sender:
        sending = asyncio.create_task(sender.send(mail_to(), key_of()))
        await postbox.reached.wait()
        sending.cancel()
        if again:
            await asyncio.sleep(0.05)
            sending.cancel()
        with pytest.raises(InDoubt, match="process stopped"):
            await sending


async def test_starttls_is_required_for_remote_servers(certificates: Certificates) -> None:
    async with Postbox().serve(tls_context=certificates.good, require_starttls=True) as box:
        url = ElsewhereUrl("127.0.0.1", box.port, False)
        with sender_to(url, tls=certificates.trusted) as sender:
            await sender.send(mail_to(1), key_of(1))
            await sender.send(mail_to(2), key_of(2))
    assert (len(box.taken), box.connections) == (2, 1)


async def test_a_server_without_starttls_gets_no_mail_and_no_password(certificates: Certificates) -> None:
    async with Postbox().serve(authenticator=authenticate, auth_require_tls=False) as box:
        url = ElsewhereUrl("127.0.0.1", box.port, False, "ada", "pä:ss@word")
        with sender_to(url, tls=certificates.trusted) as sender, pytest.raises(NotSent, match="STARTTLS") as caught:
            await sender.send(mail_to(), key_of())
    assert caught.value.transient
    assert box.commands == ["EHLO"]


@pytest.mark.parametrize("implicit", [True, False])
async def test_a_bad_certificate_gets_neither_mail_nor_password(certificates: Certificates, implicit: bool) -> None:
    options = {"ssl_context": certificates.bad} if implicit else {"tls_context": certificates.bad}
    async with Postbox().serve(authenticator=authenticate, **options) as box:
        url: SmtpUrl = ElsewhereUrl("127.0.0.1", box.port, False, "ada", "pä:ss@word")
        if implicit:
            url = box.url(implicit_tls=True, username="ada", password="pä:ss@word")
        with sender_to(url, tls=certificates.trusted) as sender, pytest.raises(NotSent, match="ertificate") as caught:
            await sender.send(mail_to(), key_of())
    assert caught.value.transient
    assert set(box.commands) <= {"EHLO"}


async def test_implicit_tls_and_a_login_that_is_not_ascii(certificates: Certificates) -> None:
    async with Postbox().serve(
        # The server does not know that its input arrived through TLS.
        ssl_context=certificates.good,
        authenticator=authenticate,
        auth_require_tls=False,
    ) as box:
        url = box.url(implicit_tls=True, username="ada", password="pä:ss@word")
        with sender_to(url, tls=certificates.trusted) as sender:
            await sender.send(mail_to(), key_of())
    assert len(box.taken) == 1
    assert "AUTHENTICATED" in box.commands


async def test_a_wrong_password_is_reported_and_not_shown() -> None:
    async with Postbox().serve(authenticator=authenticate, auth_require_tls=False) as box:
        url = box.url(username="ada", password="hunter2")
        with sender_to(url) as sender, pytest.raises(NotSent, match="535") as caught:
            await sender.send(mail_to(), key_of())
    assert caught.value.transient
    assert "hunter2" not in str(caught.value) + repr(url)
    assert box.taken == []


async def test_many_failures_lose_and_repeat_no_mail(postbox: Postbox) -> None:
    """About every third connection fails somewhere: each reported outcome agrees with what the server accepted."""
    count = 0

    def sometimes(trouble: Hook, every: int) -> Hook:
        async def step(box: Postbox, server: SMTP) -> str:
            nonlocal count
            count += 1
            return await trouble(box, server) if count % every == 0 else ""

        return step

    postbox.steps |= {
        "MAIL": sometimes(break_off, 7),
        "RCPT": sometimes(say("451 later"), 5),
        "DATA": sometimes(say("552 full"), 6),
        "TAKEN": sometimes(break_off, 4),
    }
    limits = MailLimits(concurrency=4, per_second=1_000, step_timeout=2, response_timeout=2)
    outcomes = []
    with sender_to(postbox.url(), limits) as sender:
        outcomes = await asyncio.gather(
            *(sender.send(mail_to(number), key_of(number)) for number in range(120)), return_exceptions=True
        )
    kinds = [type(outcome) for outcome in outcomes]
    assert set(kinds) == {Sent, NotSent, InDoubt}
    for number, kind in enumerate(kinds):
        times = postbox.taken.count(mail_to(number).as_bytes())
        assert times == {Sent: 1, NotSent: 0, InDoubt: 1}[kind]
