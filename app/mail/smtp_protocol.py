"""An SMTP protocol that accepts one response per command and drops the connection if the server sends more."""

import asyncio
import ssl
from typing import Final, Self, cast

import structlog
from aiosmtplib import SMTPServerDisconnected
from aiosmtplib.protocol import SMTPProtocol

from app.sources.text import plain

log = structlog.get_logger(__name__)

_MAX_SHOWN: Final = 200
_CONTINUES: Final = b"-"


class OneResponseProtocol(SMTPProtocol):
    """Drops the connection at the first unexpected byte. `unexpected` then holds what the server sent.

    aiosmtplib would take such bytes for the response to the next command. A `250` sent with the `354` would then
    mean that the mail was accepted before its end was sent. Before TLS, the bytes may come from another host.
    """

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.unexpected: str | None = None
        self._awaiting = False
        self._line = b""

    @classmethod
    async def connect(cls, host: str, port: int, tls: ssl.SSLContext | None) -> Self:
        """Open a connection, with implicit TLS if `tls` is given. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(cls, host, port, ssl=tls)
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect the greeting."""
        super().connection_made(transport)
        self._awaiting = True

    def write(self, data: bytes) -> None:
        """Send a command or the end of a mail; the server sends one response."""
        self._send(data)
        self._awaiting = True

    def write_content(self, data: bytes) -> None:
        """Send a mail's content; the server sends no response before its end."""
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self.unexpected is not None:
            raise SMTPServerDisconnected("Connection dropped")
        super().write(data)

    def data_received(self, data: bytes) -> None:
        """Accept the bytes of the expected response, and drop the connection at any others."""
        end = self._end_of_response(data) if self._awaiting else 0
        if end:
            super().data_received(data[:end])
        if end < len(data):
            self._drop(data[end:])

    def _end_of_response(self, data: bytes) -> int:
        """Return the length of the response: it ends with the first line whose code is not followed by a hyphen."""
        position = 0
        while (line_end := data.find(b"\n", position)) >= 0:
            line, self._line = self._line + data[position:line_end][:4], b""
            position = line_end + 1
            if line[3:4] != _CONTINUES:
                self._awaiting = False
                return position
        # Of an incomplete line, only the code matters.
        self._line = (self._line + data[position : position + 4])[:4]
        return len(data)

    def _drop(self, data: bytes) -> None:
        if self.unexpected is None:
            self.unexpected = plain(data.decode("utf-8", "replace"), _MAX_SHOWN)
            log.info("mail server sent an unexpected response", text=self.unexpected)
        if self.transport is not None:
            # Not close(), which would still send buffered data.
            cast(asyncio.Transport, self.transport).abort()
