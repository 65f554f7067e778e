"""Text in the encoding that was meant: names of encodings as browsers read them, and UTF-8 with bytes of cp1252."""

import codecs
from typing import Final

AS_CP1252: Final = "broadsheet-cp1252"
"""The error handler that takes each byte that is no UTF-8 as Windows' Western European, which includes Latin-1."""
STEP: Final = 8_192
"""Bytes that are decoded at once: each byte in a wrong encoding costs a microsecond."""
_CP1252: Final = [bytes([byte]).decode("cp1252", "replace") for byte in range(256)]
# https://encoding.spec.whatwg.org/#names-and-labels: what calls itself Latin-1 or ASCII is cp1252.
_MEANT: Final = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(_CP1252[byte] for byte in wrong), error.end


codecs.register_error(AS_CP1252, _as_cp1252)


def incremental_decoder(name: str) -> codecs.IncrementalDecoder:
    """Return a decoder for the encoding that this name means; UTF-8 for a name that no codec has."""
    try:
        found = codecs.lookup(name).name
    except LookupError:
        found = "utf-8"
    meant = _MEANT.get(found, found)
    return codecs.getincrementaldecoder(meant)(AS_CP1252 if meant == "utf-8" else "replace")
