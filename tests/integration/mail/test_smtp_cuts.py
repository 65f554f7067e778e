"""A server that sends byte by byte and disconnects after each of them: the outcome is right at every position."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import replace

from app.config.mail_url import SmtpUrl
from app.mail.sender import InDoubt, NotSent, Sent
from tests.support.smtp_server import QUICK, key_of, mail_to, sender_to

BEFORE_THE_DOT = (
    b"220-mx.example\r\n220 hello\r\n",
    b"250-mx.example\r\n250-PIPELINING\r\n250 SIZE 1000000\r\n",
    b"250 sender\r\n",
    b"250 recipient\r\n",
    b"354 go on\r\n",
)
AT_END = b"250-2.0.0 taken\r\n250 2.0.0 indeed\r\n"
SAFE = len(b"".join(BEFORE_THE_DOT))


class ByteByByteServer:
    """Send each response one byte at a time, and nothing after `left` bytes."""

    def __init__(self) -> None:
        self.left = 0
        self.taken = 0
        self.ended = asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._take(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.ended.set()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, response in enumerate(BEFORE_THE_DOT):
            if number:
                await reader.readuntil(b"\r\n")
            if not await self._say(response, writer):
                return
        await reader.readuntil(b"\r\n.\r\n")
        self.taken += 1
        if await self._say(AT_END, writer):
            await reader.read()

    async def _say(self, text: bytes, writer: asyncio.StreamWriter) -> bool:
        for byte in text:
            if not self.left:
                writer.transport.abort()
                return False
            self.left -= 1
            writer.write(bytes([byte]))
            await writer.drain()
        return True


async def test_the_outcome_is_right_after_a_cut_at_any_byte() -> None:
    server, tls = ByteByByteServer(), ssl.create_default_context()
    limits = replace(QUICK, per_second=1e6, step_timeout=20, response_timeout=20)
    async with await asyncio.start_server(server.talk, "127.0.0.1", 0, limit=1_000_000) as listening:
        url = SmtpUrl("127.0.0.1", listening.sockets[0].getsockname()[1], implicit_tls=False)
        for left in range(SAFE + len(AT_END) + 1):
            server.left, server.taken, server.ended = left, 0, asyncio.Event()
            with sender_to(url, limits, tls) as sender:
                (verdict,) = await asyncio.gather(sender.send(mail_to(), key_of()), return_exceptions=True)
            await server.ended.wait()
            if left < SAFE:
                assert isinstance(verdict, NotSent), left
                assert (verdict.transient, server.taken) == (True, 0), left
            elif left < SAFE + len(AT_END):
                assert isinstance(verdict, InDoubt), left
                assert server.taken == 1
            else:
                assert (verdict, server.taken) == (Sent(), 1)
