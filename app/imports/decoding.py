"""Decoder of a file whose encoding is unknown or mixed."""

import codecs
import io
import re
from collections.abc import Iterator
from typing import Final

from app.sources.encodings import STEP, incremental_decoder

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE: Final = (
    (re.compile(rb"(?:[\t\n\r -~]\0){2}"), "utf-16-le"),
    (re.compile(rb"(?:\0[\t\n\r -~]){2}"), "utf-16-be"),
)
# JabRef writes this first line if the encoding is not UTF-8.
_NAMED: Final = re.compile(rb"\A\s{0,20}%\s{0,5}Encoding:\s{0,5}([\w.:-]{1,40})", re.IGNORECASE)
_LOOKED_AT: Final = 128
"""Bytes from which the encoding is detected."""
_SINGLE_BYTE: Final = re.compile(
    r"(?:cp|windows-?)125\d|iso-?8859-\d{1,2}|latin-?[1-9]|koi8-[ru]|mac-?roman", re.IGNORECASE
)


class TextDecoder:
    """Decodes a file in pieces: the encoding of its first bytes, otherwise UTF-8 with invalid bytes read as cp1252.

    All line ends become line feeds.
    """

    def __init__(self) -> None:
        self._decoder: io.IncrementalNewlineDecoder | None = None
        self._start = b""

    def feed(self, piece: bytes) -> Iterator[str]:
        """Yield the text of the next bytes, in steps."""
        if self._decoder is None:
            self._start += piece
            if len(self._start) < _LOOKED_AT:
                return
            piece = self._begin()
        for start in range(0, len(piece), STEP):
            yield self._text(piece[start : start + STEP], final=False)

    def end(self) -> str:
        """Return the text of the remaining bytes."""
        return self._text(self._begin() if self._decoder is None else b"", final=True)

    def _begin(self) -> bytes:
        """Choose the encoding; return the bytes after a byte order mark."""
        decoder, skipped = _decoder_for(self._start)
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        return self._start[skipped:]

    def _text(self, piece: bytes, *, final: bool) -> str:
        return self._decoder.decode(piece, final) if self._decoder else ""


def _decoder_for(start: bytes) -> tuple[codecs.IncrementalDecoder, int]:
    name, skipped = "utf-8", 0
    marked = next(((bom, codec) for bom, codec in _BOMS if start.startswith(bom)), None)
    if marked:
        name, skipped = marked[1], len(marked[0])
    else:
        name = next((codec for form, codec in _WIDE if form.match(start)), name)
    declared = _NAMED.match(start)
    if declared and _SINGLE_BYTE.fullmatch(declared[1].decode("ascii")):
        name = declared[1].decode("ascii")
    return incremental_decoder(name), skipped
