"""An SMTP protocol that takes one response for each command, and ends the connection when a server sends more."""

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
    """Drops the connection at the first byte that answers no command; `unexpected` then holds what the server sent.

    aiosmtplib keeps such bytes and takes them for the response to the next command: a `250` that came local_service with
    the `354` would say that a mail was accepted before its end was sent. Before TLS they may be another host's.
    """

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.unexpected: str | None = None
        self._awaiting = False
        self._line = b""

    @classmethod
    async def connect(cls, host: str, port: int, tls: ssl.SSLContext | None) -> Self:
        """Open a connection, with TLS from the first byte if `tls` is given. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(cls, host, port, ssl=tls)
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect the greeting."""
        super().connection_made(transport)
        self._awaiting = True

    def write(self, data: bytes) -> None:
        """Send a command, or the end of a mail, to which the server is to send one response."""
        self._send(data)
        self._awaiting = True

    def write_content(self, data: bytes) -> None:
        """Send a mail's content, to which the server has nothing to say before its end."""
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self.unexpected is not None:
            raise SMTPServerDisconnected("Connection dropped")
        super().write(data)

    def data_received(self, data: bytes) -> None:
        """Take what belongs to the awaited response."""
        end = self._end_of_response(data) if self._awaiting else 0
        if end:
            super().data_received(data[:end])
        if end < len(data):
            self._drop(data[end:])

    def _end_of_response(self, data: bytes) -> int:
        """How many bytes belong to it: up to the end of the first line whose code no hyphen follows."""
        position = 0
        while (line_end := data.find(b"\n", position)) >= 0:
            line, self._line = self._line + data[position:line_end][:4], b""
            position = line_end + 1
            if line[3:4] != _CONTINUES:
                self._awaiting = False
                return position
        # Of a line that is not complete, no more than its code matters.
        self._line = (self._line + data[position : position + 4])[:4]
        return len(data)

    def _drop(self, data: bytes) -> None:
        if self.unexpected is None:
            self.unexpected = plain(data.decode("utf-8", "replace"), _MAX_SHOWN)
            log.info("a mail server sent what nobody asked for", text=self.unexpected)
        if self.transport is not None:
            # Not `close`, which would still send what waits.
            cast(asyncio.Transport, self.transport).abort()
