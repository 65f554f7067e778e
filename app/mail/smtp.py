"""Mails by SMTP: a few connections, each kept for many mails, closed when nothing comes, replaced when they break."""

import asyncio
import ssl
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from typing import ClassVar

from app.mail.message import MessageKey, message_bytes
from app.mail.sender import MailLimits, SendLimiter, Sent, sender_id_of
from app.mail.smtp_connection import SmtpConnection
from app.mail_url import SmtpUrl


class SmtpSender:
    """Sends over up to `limits.concurrency` connections, as `MailSender` says. `tls` verifies the server's certificate."""

    idempotent: ClassVar[bool] = False

    def __init__(self, url: SmtpUrl, limits: MailLimits, tls: ssl.SSLContext) -> None:
        self._url = url
        self._limits = limits
        self._tls = tls
        self._limiter = SendLimiter(limits)
        self._kept: list[tuple[SmtpConnection, asyncio.TimerHandle]] = []

    @property
    def sender_id(self) -> str:
        """Of server and login: nobody repeats what SMTP began, also no provider to which `MAIL_URL` moves."""
        return sender_id_of("smtp", f"{self._url.username or ''}@{self._url.host}:{self._url.port}")

    async def send(self, message: EmailMessage, key: MessageKey) -> Sent:  # noqa: ARG002  (SMTP has no keys)
        """Send over a kept connection or a new one."""
        sender, recipient = _only(message["From"]), _only(message["To"])
        content = message_bytes(message)
        async with self._limiter.slot():
            # A server wants to be greeted with a name: the sender's domain is one on every machine.
            connection = await self._connection(sender.rpartition("@")[2])
            try:
                await connection.send(sender, recipient, content)
            finally:
                self._keep(connection)
        return Sent()

    def close(self) -> None:
        """Close the connections that wait for mails; those in use go with their mail's end."""
        while self._kept:
            self._take().close()

    async def _connection(self, local_name: str) -> SmtpConnection:
        while self._kept:
            kept = self._take()
            if await kept.ready():
                return kept
        connection = SmtpConnection(self._url, self._limits, self._tls, local_name)
        await connection.open()
        return connection

    def _take(self) -> SmtpConnection:
        # The one that was used last: those that are not needed grow old and close.
        connection, retirement = self._kept.pop()
        retirement.cancel()
        return connection

    def _keep(self, connection: SmtpConnection) -> None:
        if not connection.usable:
            connection.close()
            return
        retirement = asyncio.get_running_loop().call_later(self._limits.idle_timeout, self._retire, connection)
        self._kept.append((connection, retirement))

    def _retire(self, connection: SmtpConnection) -> None:
        self._kept = [kept for kept in self._kept if kept[0] is not connection]
        connection.close()


def _only(header: AddressHeader) -> str:
    """The address of a header that holds exactly one. Raises `ValueError`."""
    (address,) = header.addresses
    return address.addr_spec
