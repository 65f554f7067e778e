"""Encoding of a mail's text for transfer: quoted-printable or base64 (RFC 2045), whichever is smaller."""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from app.time_slice import TimeSlice

_LINES_AT_ONCE: Final = 200
# A line of 76 characters encodes 57 bytes.
_BYTES_A_LINE: Final = 57


@dataclass(frozen=True, slots=True)
class Encoded:
    """Text in a transfer encoding. `payload` is ASCII in lines of at most 76 characters that end with CRLF."""

    transfer_encoding: Literal["quoted-printable", "base64"]
    payload: str


def encode(text: str) -> Encoded:
    """Return `text` in the smaller encoding."""
    raw = _with_line_ends(text)
    return _smaller(raw, list(_quoted_printable(raw)))


async def encode_in_steps(text: str, time_slice: TimeSlice) -> Encoded:
    """Return the same as `encode`, and yield to the event loop between groups of lines."""
    raw = _with_line_ends(text)
    pieces = []
    for piece in _quoted_printable(raw):
        pieces.append(piece)
        await time_slice.checkpoint()
    return _smaller(raw, pieces)


def _with_line_ends(text: str) -> list[bytes]:
    """Return groups of lines as bytes, whose lines end with CRLF."""
    lines = text.replace("\0", "").splitlines() or [""]
    groups = (lines[first : first + _LINES_AT_ONCE] for first in range(0, len(lines), _LINES_AT_ONCE))
    return [("\r\n".join(group) + "\r\n").encode("utf-8", "replace") for group in groups]


def _quoted_printable(groups: list[bytes]) -> Iterator[str]:
    for group in groups:
        # set_content of the standard library encodes in Python, 30 times slower, and would block the event loop.
        yield binascii.b2a_qp(group, istext=True).decode("ascii")


def _smaller(groups: list[bytes], quoted: list[str]) -> Encoded:
    size = sum(map(len, groups))
    lines = -(-size // _BYTES_A_LINE)
    if sum(map(len, quoted)) <= 4 * -(-size // 3) + 2 * lines:
        return Encoded("quoted-printable", "".join(quoted))
    # In C and without a copy for each line: a millisecond for a megabyte.
    content = binascii.b2a_base64(b"".join(groups), newline=False).decode("ascii")
    return Encoded("base64", "".join(f"{content[at : at + 76]}\r\n" for at in range(0, len(content), 76)))
