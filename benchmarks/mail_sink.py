"""`python -m benchmarks.mail_sink COUNT`: an SMTP server on loopback that accepts every mail and keeps none.

It prints its port, and a JSON line when it has accepted `COUNT` mails: how many, for how many recipients, and how many
bytes. It does as little as possible, because it shares the machine with what is measured.
"""

import asyncio
import json
import sys
from typing import Final, cast

import uvloop

_END: Final = b"\r\n.\r\n"
_REPLIES: Final = {
    b"EHLO": b"250-sink\r\n250-SIZE 100000000\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 bye\r\n",
}
_ACCEPTED: Final = b"250 accepted\r\n"


class Counts:
    """What all connections have accepted."""

    def __init__(self, awaited: int) -> None:
        self._awaited = awaited
        self._mails = self._bytes = 0
        self._recipients = set[bytes]()

    def add(self, recipient: bytes, size: int) -> None:
        """Count a mail, and report when it is the last one."""
        self._mails += 1
        self._bytes += size
        self._recipients.add(recipient)
        if self._mails == self._awaited:
            counted = {"mails": self._mails, "recipients": len(self._recipients), "bytes": self._bytes}
            print(json.dumps(counted), flush=True)


class Connection(asyncio.Protocol):
    """One connection. The client waits for the response to each command (RFC 5321), so nothing is pipelined."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._received = bytearray()
        self._in_content = False
        self._recipient = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's call."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        """asyncio's call."""
        self._received += data
        if self._in_content:
            self._end_content()
        elif self._received.endswith(b"\r\n"):
            self._command(bytes(self._received))
            self._received.clear()

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"RCPT":
            self._recipient = line
        self._in_content = verb == b"DATA"
        self._transport.write(_REPLIES.get(verb, _ACCEPTED))
        if verb == b"QUIT":
            self._transport.close()

    def _end_content(self) -> None:
        if self._received.endswith(_END):
            self._counts.add(self._recipient, len(self._received))
            self._received.clear()
            self._in_content = False
            self._transport.write(_ACCEPTED)


async def serve(awaited: int) -> None:
    """Listen on a free port, print it, and serve until the process is stopped."""
    counts = Counts(awaited)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(counts), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
