"""One SMTP session (RFC 5321), step by step, so that each error tells whether the mail may have been accepted."""

import asyncio
import re
import ssl
from collections.abc import Awaitable
from typing import Final, TypeVar, cast

from aiosmtplib import SMTP, SMTPException, SMTPHeloError, SMTPResponseException, SMTPServerDisconnected

from app.config.mail_url import SmtpUrl
from app.mail.sender import InDoubt, MailLimits, NotSent, finish_despite_cancellation
from app.mail.smtp_protocol import OneResponseProtocol
from app.sources.text import plain

T = TypeVar("T")

_READY: Final = 220
_START_INPUT: Final = 354
_COMPLETED: Final = 250
_CLOSING: Final = 421
_MAX_REASON: Final = 300
_DRAIN_POLL: Final = 0.02
# RFC 3463: 5.1.x is an address error; 5.1.7 and 5.1.8 concern the sender's address.
_BAD_RECIPIENT: Final = re.compile(r"5\.1\.(?![78]\b)\d{1,3}\b")


class SmtpConnection:
    """A connection that sends one mail at a time. Not safe for concurrent use."""

    def __init__(self, url: SmtpUrl, limits: MailLimits, tls: ssl.SSLContext, local_name: str) -> None:
        self._url = url
        self._limits = limits
        self._tls = tls
        self._host = f"{url.host}:{url.port}"
        self._busy = True
        self._mails = 0
        self._protocol: OneResponseProtocol | None = None
        # Set explicitly, because the library would look up the local name in a thread.
        self._smtp = SMTP(hostname=url.host, local_hostname=local_name, tls_context=tls, timeout=limits.step_timeout)

    @property
    def usable(self) -> bool:
        """Whether another mail may be sent over this connection."""
        return not self._busy and self._smtp.is_connected and self._mails < self._limits.mails_per_connection

    async def open(self) -> None:
        """Connect, start TLS and log in. Raises `NotSent`, always transient, because no step concerns a mail."""
        try:
            await self._connect()
            await self._introduce()
            self._busy = False
        except (SMTPException, OSError, ValueError) as error:
            raise self._connection_error(error) from error
        finally:
            if self._busy:
                self.close()

    async def _connect(self) -> None:
        tls = self._tls if self._url.implicit_tls else None
        try:
            async with asyncio.timeout(self._limits.step_timeout):
                protocol = await OneResponseProtocol.connect(self._url.host, self._url.port, tls)
        except TimeoutError as error:
            raise TimeoutError(f"no connection within {self._limits.step_timeout:g} s") from error
        self._protocol = self._smtp.protocol = protocol
        self._smtp.transport = protocol.transport
        code, text = await protocol.read_response(self._limits.step_timeout)
        if code != _READY:
            raise SMTPResponseException(code, text)

    async def _introduce(self) -> None:
        if self._url.requires_starttls:
            await self._smtp.starttls()
        # The first mail needs the server's extensions, which may change after STARTTLS.
        try:
            await self._smtp.ehlo()
        except SMTPHeloError:
            await self._smtp.helo()
        if self._url.username is not None:
            # As bytes, for the library would refuse what is not ASCII.
            await self._smtp.login(self._url.username.encode(), (self._url.password or "").encode())

    async def ready(self) -> bool:
        """Reset an idle connection. Returns whether the server still responds; if not, the connection is closed."""
        self._busy = True
        try:
            await self._smtp.rset()
            self._busy = False
        except (SMTPException, OSError):
            pass
        finally:
            if self._busy:
                self.close()
        return not self._busy

    async def send(self, sender: str, recipient: str, content: bytes) -> None:
        """Send one mail. Raises `NotSent` and `InDoubt`. A cancellation ends it only while the mail is not sent."""
        self._busy = True
        self._mails += 1
        size = [f"SIZE={len(content)}"] if self._smtp.supports_extension("size") else []
        await self._step(self._smtp.mail(sender, options=size))
        await self._step(self._smtp.rcpt(recipient), to_recipient=True)
        code, text = await self._step(self._smtp.execute_command(b"DATA"))
        if code != _START_INPUT:
            raise self._error_of(code, text, to_recipient=True)
        await self._upload(_dots_doubled(content))
        # After the final dot, the mail cannot be withdrawn.
        await finish_despite_cancellation(self._finish(), self._limits.cancel_grace, repeatable=False)
        self._busy = False

    def close(self) -> None:
        """Send QUIT without waiting for the response, or abort in the middle of a mail."""
        if self._protocol is not None and not self._busy and self._protocol.is_connected:
            self._protocol.write(b"QUIT\r\n")
        elif self._transport is not None:
            # close() would wait forever for a peer that does not read.
            self._transport.abort()
        self._smtp.close()

    async def _step(self, step: Awaitable[T], *, to_recipient: bool = False) -> T:
        try:
            return await step
        except SMTPResponseException as error:
            raise self._error_of(error.code, error.message, to_recipient=to_recipient) from error
        except (SMTPException, OSError) as error:
            raise self._connection_error(error) from error

    async def _upload(self, content: bytes) -> None:
        """Send everything except the final dot. Raises `NotSent` if the connection fails."""
        try:
            async with asyncio.timeout(self._limits.response_timeout):
                self._connected.write_content(content)
                while self._unsent():  # noqa: ASYNC110  (the event to wait for is private in both libraries)
                    await asyncio.sleep(_DRAIN_POLL)
                # One iteration of the event loop, so that a broken connection is detected.
                await asyncio.sleep(0)
        except (SMTPException, OSError) as error:
            raise self._connection_error(error) from error

    @property
    def _connected(self) -> OneResponseProtocol:
        if self._protocol is None:
            raise SMTPServerDisconnected("Connection lost")
        return self._protocol

    def _unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def _transport(self) -> asyncio.WriteTransport | None:
        # A lost connection has no transport. The cast is needed because uvloop's transports have another class.
        return cast(asyncio.WriteTransport | None, self._protocol.transport if self._protocol is not None else None)

    async def _finish(self) -> None:
        """Send the final dot and wait for the response."""
        try:
            protocol = self._connected
            protocol.write(b".\r\n")
        except SMTPServerDisconnected as error:
            raise self._connection_error(error) from error
        try:
            # Read immediately: the library discards a response that arrives while nothing reads.
            code, text = await protocol.read_response(self._limits.response_timeout)
        except (SMTPException, OSError) as error:
            raise InDoubt(
                f"{self._host} did not respond to the end of the mail: {_text(error)}", repeatable=False
            ) from error
        if code != _COMPLETED:
            raise self._error_of(code, text, to_recipient=True, at_end=True)

    def _error_of(self, code: int, text: str, *, to_recipient: bool, at_end: bool = False) -> NotSent | InDoubt:
        reason = plain(f"{self._host} responded {code} {text}", _MAX_REASON)
        if not 400 <= code < 600:  # noqa: PLR2004  (RFC 5321: 4yz and 5yz are errors)
            return InDoubt(reason, repeatable=False) if at_end else NotSent(reason, transient=True)
        # The server has responded and can accept another mail, except after 421, when it closes the connection.
        self._busy = code == _CLOSING
        permanent = code >= 500  # noqa: PLR2004  (RFC 5321: 5yz is permanent)
        bounce = permanent and to_recipient and _BAD_RECIPIENT.match(text) is not None
        return NotSent(reason, transient=not permanent, bounce=bounce)

    def _connection_error(self, error: Exception) -> NotSent:
        """Return the error for a connection that broke before the final dot: the mail was not sent."""
        unexpected = self._protocol.unexpected if self._protocol is not None else None
        reason = _text(error) if unexpected is None else f"it sent more than one response to a command: {unexpected}"
        return NotSent(f"{self._host}: {reason}", transient=True)


def _dots_doubled(content: bytes) -> bytes:
    """Double leading dots, because a line with a single dot would end the mail (RFC 5321, 4.5.2)."""
    doubled = content.replace(b"\n.", b"\n..")
    return b"." + doubled if doubled.startswith(b".") else doubled


def _text(error: Exception) -> str:
    return plain(f"{type(error).__name__}: {error}", _MAX_REASON)
