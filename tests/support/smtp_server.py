"""A real SMTP server on loopback that can misbehave and counts what it accepted, and a mail to send."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from email.message import EmailMessage
from typing import Any, cast
from uuid import UUID

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from app.config.mail_address import Mailbox
from app.config.mail_url import SmtpUrl
from app.mail.footer import MailLinks
from app.mail.message import Mail, MessageKey, build_message
from app.mail.sender import MailLimits
from app.mail.smtp import SmtpSender

READER = UUID("6d1c5f0e-0000-4000-8000-000000000001")


QUICK = MailLimits(
    concurrency=1, per_second=1_000, step_timeout=30, response_timeout=30, cancel_grace=2, idle_timeout=20
)


Hook = Callable[["Postbox", SMTP], Awaitable[str]]


def transport_of(server: SMTP) -> asyncio.Transport:
    # uvloop's transports have the methods, but not the class.
    return cast(asyncio.Transport, server.transport)


async def hang(box: "Postbox", _server: SMTP) -> str:
    """Send nothing until the client has disconnected."""
    box.reached.set()
    await asyncio.Event().wait()
    return ""


async def break_off(box: "Postbox", server: SMTP) -> str:
    """Cut the connection without a response."""
    box.reached.set()
    transport_of(server).abort()
    await asyncio.sleep(0)
    return "250 never read"


async def break_off_midway(box: "Postbox", server: SMTP) -> str:
    """Cut the connection while the client waits or still sends."""
    await asyncio.sleep(0.1)
    return await break_off(box, server)


def say(answer: str) -> Hook:
    """Respond with this."""

    async def step(box: "Postbox", _server: SMTP) -> str:
        box.reached.set()
        return answer

    return step


class Conversation(SMTP):
    """aiosmtpd's server with an added hook between DATA and the final dot."""

    async def smtp_DATA(self, arg: str) -> None:
        box: Postbox = self.event_handler
        hook = box.before_content(self)
        if hook is None:
            await super().smtp_DATA(arg)
            return
        transport_of(self).pause_reading()
        await self.push("354 go on")
        await hook(box, self)


@dataclass
class Postbox:
    """A server that accepts mails, except where `steps` says otherwise.

    The steps' names are commands; DATA follows the final dot, CONTENT precedes it, TAKEN follows the acceptance of the
    mail.
    """

    steps: dict[str, Hook] = field(default_factory=dict)
    taken: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def before_content(self, _server: SMTP) -> Hook | None:
        return self.steps.get("CONTENT")

    async def _do(self, name: str, server: SMTP) -> str | None:
        self.commands.append(name)
        return (await self.steps[name](self, server) or None) if name in self.steps else None

    async def handle_EHLO(
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        await self._do("EHLO", server)
        return responses

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if session.authenticated:
            self.commands.append("AUTHENTICATED")
        answer = await self._do("MAIL", server)
        if answer is None:
            envelope.mail_from = address
        return answer or "250 OK"

    async def handle_RCPT(
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = await self._do("RCPT", server)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_RSET(self, server: SMTP, _session: Session, _envelope: Envelope) -> str:
        return await self._do("RSET", server) or "250 OK"

    async def handle_QUIT(self, server: SMTP, _session: Session, _envelope: Envelope) -> str:
        return await self._do("QUIT", server) or "221 Bye"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        answer = await self._do("DATA", server)
        if answer is None:
            assert isinstance(envelope.content, bytes)
            self.taken.append(envelope.content)
            answer = await self._do("TAKEN", server)
        return answer or "250 2.0.0 taken"

    @asynccontextmanager
    async def serve(self, *, ssl_context: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator["Postbox"]:
        """Listen on loopback; `ssl_context` is for TLS from the first byte, `tls_context` for STARTTLS."""
        loop = asyncio.get_running_loop()
        conversations: list[SMTP] = []

        def accept() -> SMTP:
            self.connections += 1
            # No limit: one test sends more than socket buffers hold.
            conversations.append(Conversation(self, hostname="mx.example", data_size_limit=None, loop=loop, **options))
            return conversations[-1]

        server = await loop.create_server(accept, "127.0.0.1", 0, ssl=ssl_context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            # From Python 3.12 on, the end of the server waits for its connections, and one that hangs reads nothing.
            for conversation in conversations:
                if conversation.transport is not None:
                    transport_of(conversation).abort()
            await server.wait_closed()

    def url(self, **changes: Any) -> SmtpUrl:
        return replace(SmtpUrl("127.0.0.1", self.port, implicit_tls=False), **changes)


def _answer_at_once(peer: socket.socket) -> None:
    """Speak the part of SMTP that a mail needs, with immediate responses."""
    waiting, in_content = b"", False
    with peer, suppress(ConnectionError):
        peer.sendall(b"220 hello\r\n")
        while data := peer.recv(65_536):
            waiting += data
            end = b"\r\n.\r\n" if in_content else b"\r\n"
            while end in waiting:
                line, _, waiting = waiting.partition(end)
                in_content = line == b"DATA"
                peer.sendall(b"354 go on\r\n" if in_content else b"250 yes\r\n")
                end = b"\r\n.\r\n" if in_content else b"\r\n"


@contextmanager
def quick_server() -> Iterator[int]:
    """A server in its own thread, which responds while the client's loop is busy; yields its port."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                talks.append(threading.Thread(target=_answer_at_once, args=(peer,)))
                talks[-1].start()

    talks: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    for thread in (accepting, *talks):
        thread.join()


class ElsewhereUrl(SmtpUrl):
    """A server on loopback that is treated as a remote one."""

    @property
    def requires_starttls(self) -> bool:
        return True


@contextmanager
def sender_to(url: SmtpUrl, limits: MailLimits = QUICK, tls: ssl.SSLContext | None = None) -> Iterator[SmtpSender]:
    sender = SmtpSender(url, limits, tls or ssl.create_default_context())
    try:
        yield sender
    finally:
        sender.close()


def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: Any) -> AuthResult:
    assert isinstance(login, LoginPassword)
    # "handled" would mean that the response was already sent.
    return AuthResult(success=(login.login, login.password) == (b"ada", "pä:ss@word".encode()), handled=False)


@dataclass
class Certificates:
    """A trusted authority, and server contexts with its certificate and with an unknown authority's."""

    trusted: ssl.SSLContext
    good: ssl.SSLContext
    bad: ssl.SSLContext


def key_of(number: int = 1) -> MessageKey:
    return MessageKey(UUID(int=READER.int + number), date(2026, 11, 24))


def mail_to(number: int = 1, *, text: str = "Read this.", page: str = "<p>Read this.</p>") -> EmailMessage:
    return build_message(
        Mail(
            key=key_of(number),
            sender=Mailbox("digest@broadsheet.example", "Broadsheet"),
            recipient=Mailbox(f"reader{number}@example.org", f"Reader {number}"),
            date=datetime(2026, 11, 24, 6, tzinfo=UTC),
            subject="Ice remembers",
            text=text,
            page=page,
            links=MailLinks(unsubscribe="https://digest.example/r/unsubscribe/abc"),
        )
    )
