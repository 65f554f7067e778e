"""Sending by SMTP over a small pool of connections, which are reused, closed when idle and replaced on errors."""

import asyncio
import ssl
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from typing import ClassVar

from app.config.mail_url import SmtpUrl
from app.mail.message import MessageKey, message_bytes
from app.mail.sender import MailLimits, SendLimiter, Sent, sender_id_of
from app.mail.smtp_connection import SmtpConnection
from app.tracing.current import Attribute, SpanScope, calling


class SmtpSender:
    """Sends over up to `limits.concurrency` connections. `tls` verifies the server's certificate."""

    idempotent: ClassVar[bool] = False

    def __init__(self, url: SmtpUrl, limits: MailLimits, tls: ssl.SSLContext) -> None:
        self._url = url
        self._limits = limits
        self._tls = tls
        self._limiter = SendLimiter(limits)
        self._idle: list[tuple[SmtpConnection, asyncio.TimerHandle]] = []

    @property
    def sender_id(self) -> str:
        """The id of server and login. SMTP mails are never repeated, also not by another provider."""
        return sender_id_of("smtp", f"{self._url.username or ''}@{self._url.host}:{self._url.port}")

    async def send(self, message: EmailMessage, key: MessageKey) -> Sent:  # noqa: ARG002  (SMTP has no keys)
        """Send over an idle connection or a new one."""
        sender, recipient = _single_address(message["From"]), _single_address(message["To"])
        content = message_bytes(message)
        async with self._limiter.slot():
            with self._span():
                await self._send(sender, recipient, content)
        return Sent()

    async def _send(self, sender: str, recipient: str, content: bytes) -> None:
        # EHLO needs a name; the sender's domain works on every machine.
        connection = await self._connection(sender.rpartition("@")[2])
        try:
            await connection.send(sender, recipient, content)
        finally:
            self._release(connection)

    def _span(self) -> SpanScope:
        """Return the span of a mail. The conventions have no span for SMTP; no attribute names the reader."""
        host, port = self._url.host, self._url.port
        attributes: dict[str, Attribute] = {
            "server.address": host,
            "server.port": port,
            "network.protocol.name": "smtp",
        }
        return calling("smtp send", attributes)

    def close(self) -> None:
        """Close the idle connections. Connections in use close after their mail."""
        while self._idle:
            self._take().close()

    async def _connection(self, local_name: str) -> SmtpConnection:
        while self._idle:
            connection = self._take()
            if await connection.ready():
                return connection
        connection = SmtpConnection(self._url, self._limits, self._tls, local_name)
        await connection.open()
        return connection

    def _take(self) -> SmtpConnection:
        # Last in, first out, so that surplus connections reach their idle timeout.
        connection, timer = self._idle.pop()
        timer.cancel()
        return connection

    def _release(self, connection: SmtpConnection) -> None:
        if not connection.usable:
            connection.close()
            return
        timer = asyncio.get_running_loop().call_later(self._limits.idle_timeout, self._close_idle, connection)
        self._idle.append((connection, timer))

    def _close_idle(self, connection: SmtpConnection) -> None:
        self._idle = [idle for idle in self._idle if idle[0] is not connection]
        connection.close()


def _single_address(header: AddressHeader) -> str:
    """Return the only address of a header. Raises `ValueError` if there is not exactly one."""
    (address,) = header.addresses
    return address.addr_spec
