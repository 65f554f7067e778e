"""A server that sends more than one response to a command: the mail is not sent, and the connection is dropped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from app.config.mail_url import SmtpUrl
from app.mail.sender import NotSent, Sent
from tests.support.smtp_server import QUICK, Certificates, ElsewhereUrl, key_of, mail_to, sender_to

STEPS = ("GREETING", "EHLO", "MAIL", "RCPT", "DATA")
ANSWERS = {
    "GREETING": b"220 mx.example\r\n",
    "EHLO": b"250-mx.example\r\n250-STARTTLS\r\n250 SIZE 1000000\r\n",
    "STARTTLS": b"220 go ahead\r\n",
    "MAIL": b"250 sender\r\n",
    "RCPT": b"250 recipient\r\n",
    "DATA": b"354 go on\r\n",
    "RSET": b"250 reset\r\n",
    "QUIT": b"221 bye\r\n",
}


class PacketServer:
    """A server that responds to each command in one packet; `answers` has the responses, `END` is the final dot's."""

    def __init__(self, **answers: bytes) -> None:
        self._answers = ANSWERS | {"END": b"554 this is spam\r\n"} | answers
        self.heard: list[str] = []
        self.lines: list[str] = []
        self.ends = 0
        self.after_last_answer = b""
        self.ended = asyncio.Event()
        self.writer: asyncio.StreamWriter | None = None
        self._talks: list[asyncio.Future[None]] = []
        self.url = SmtpUrl("127.0.0.1", 0, implicit_tls=False)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        talk_ended = asyncio.get_running_loop().create_future()
        self._talks.append(talk_ended)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._talk(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        talk_ended.set_result(None)
        self.ended.set()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = "GREETING"
        while command:
            self.heard.append(command)
            writer.write(self._answers[command])
            await writer.drain()
            if command == "DATA":
                await reader.readuntil(b"\r\n.\r\n")
                self.ends += 1
                command = "END"
            elif command == "STARTTLS":
                self.after_last_answer = await reader.read()
                command = ""
            else:
                self.lines.append((await reader.readuntil(b"\r\n")).decode().rstrip())
                command = self.lines[-1].split()[0]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["PacketServer"]:
        async with await asyncio.start_server(self.talk, "127.0.0.1", 0, limit=1_000_000) as server:
            self.url = replace(self.url, port=server.sockets[0].getsockname()[1])
            yield self
            await asyncio.gather(*self._talks)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("more", [b"250 taken\r\n", b"421 closing\r\n", b"554-no\r\n", b"2"])
async def test_two_responses_in_one_packet_are_not_sent(step: str, more: bytes) -> None:
    async with PacketServer(**{step: ANSWERS[step] + more}).serve() as server:
        with sender_to(server.url) as sender, pytest.raises(NotSent, match="more than one response") as caught:
            await sender.send(mail_to(), key_of())
        await server.ended.wait()
    assert (caught.value.transient, caught.value.bounce) == (True, False)
    assert more.decode().strip() in str(caught.value)
    assert (server.ends, server.heard[-1]) == (0, step), "the connection was dropped at once"


async def test_a_long_unexpected_response_is_cut() -> None:
    async with PacketServer(MAIL=ANSWERS["MAIL"] + b"2" * 201).serve() as server:
        with sender_to(server.url) as sender, pytest.raises(NotSent) as caught:
            await sender.send(mail_to(), key_of())
        await server.ended.wait()
    assert str(caught.value).endswith(f": {'2' * 199}…")


async def test_an_early_response_ends_the_upload() -> None:
    command = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for step in STEPS:
            writer.write(ANSWERS[step])
            await reader.readuntil(b"\r\n")
        writer.write(b"552 5.3.4 too big\r\n")
        await writer.drain()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        command.set()

    # More than the buffers of both sockets hold; the server reads none of it before it has responded.
    mail = mail_to(text="x" * 76 * 250_000)
    async with await asyncio.start_server(talk, "127.0.0.1", 0, limit=100_000) as listening:
        url = SmtpUrl("127.0.0.1", listening.sockets[0].getsockname()[1], implicit_tls=False)
        with sender_to(url, replace(QUICK, response_timeout=60)) as sender, pytest.raises(NotSent, match="too big"):
            await sender.send(mail, key_of())
        await command.wait()


async def test_goodbye_behind_the_last_response_leaves_it_sent() -> None:
    async with PacketServer(END=b"250 taken\r\n421 4.4.2 closing\r\n").serve() as server:
        with sender_to(server.url) as sender:
            assert await sender.send(mail_to(1), key_of(1)) == Sent()
            await server.ended.wait()
            assert await sender.send(mail_to(2), key_of(2)) == Sent()
    assert (server.ends, server.heard.count("GREETING"), server.heard.count("RSET")) == (2, 2, 0)


async def test_unsolicited_goodbye_replaces_a_kept_connection() -> None:
    async with PacketServer(END=b"250 taken\r\n").serve() as server:
        with sender_to(server.url) as sender:
            await sender.send(mail_to(1), key_of(1))
            assert server.writer is not None
            server.writer.write(b"421 4.4.2 idle too long\r\n")
            await server.ended.wait()
            assert await sender.send(mail_to(2), key_of(2)) == Sent()
    assert (server.ends, server.heard.count("GREETING"), server.heard.count("RSET")) == (2, 2, 0)


async def test_text_injected_before_tls_ends_the_connection(certificates: Certificates) -> None:
    injected = ANSWERS["STARTTLS"] + b"250-mx.example\r\n250 AUTH PLAIN\r\n"
    async with PacketServer(STARTTLS=injected).serve() as server:
        url = ElsewhereUrl("127.0.0.1", server.url.port, False, "ada", "secret")
        with sender_to(url, tls=certificates.trusted) as sender, pytest.raises(NotSent, match="AUTH PLAIN"):
            await sender.send(mail_to(), key_of())
        await server.ended.wait()
    assert server.after_last_answer == b"", "TLS was not started"


async def test_every_mail_of_a_connection_tells_its_size() -> None:
    async with PacketServer(END=b"250 taken\r\n").serve() as server:
        with sender_to(server.url) as sender:
            for number in (1, 2):
                await sender.send(mail_to(number, text="x" * number), key_of(number))
    sizes = [len(mail_to(number, text="x" * number).as_bytes()) for number in (1, 2)]
    assert [line for line in server.lines if line.startswith("MAIL")] == [
        f"MAIL FROM:<digest@broadsheet.example> SIZE={size}" for size in sizes
    ]
