"""Parser of a library in any supported format: detects format and encoding, and works in steps."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Final

from app.imports.bibtex import BibtexReader
from app.imports.csl import CslReader
from app.imports.decoding import TextDecoder
from app.imports.entries import MAX_BYTES, MAX_ENTRIES, LibraryEntry, LibraryReader, LibraryUnreadable, Steps
from app.imports.plain_list import ListReader
from app.imports.ris import RisReader
from app.time_slice import TimeSlice

BIBTEX: Final = "application/x-bibtex"
RIS: Final = "application/x-research-info-systems"
CSL_JSON: Final = "application/vnd.citationstyles.csl+json"

_READERS: Final[dict[str, type[LibraryReader]]] = {
    BIBTEX: BibtexReader,
    "text/x-bibtex": BibtexReader,
    "application/bibtex": BibtexReader,
    RIS: RisReader,
    "text/x-research-info-systems": RisReader,
    CSL_JSON: CslReader,
    "application/json": CslReader,
}
_STEP: Final = 0.005
"""Seconds for which a file holds the event loop before other tasks run."""
_LOOKED_AT: Final = 65_536
"""Characters in which the format is detected. Some files begin with a licence."""
_FORMS: Final[tuple[tuple[re.Pattern[str], type[LibraryReader]], ...]] = (
    (re.compile(r"\A\s*(?:\[\s*[{\]]|\{\s*\")"), CslReader),
    (re.compile(r"^\s{0,9}TY  ?-", re.MULTILINE), RisReader),
    (re.compile(r"@[A-Za-z][\w:*-]{0,39}\s{0,20}[{(]"), BibtexReader),
)
_OTHER: Final = re.compile(r"\A\s*(?:<[?!A-Za-z]|%PDF|PK\x03\x04)|\x00")


async def read_library(
    pieces: AsyncIterable[bytes] | Iterable[bytes], media_type: str = ""
) -> AsyncIterator[LibraryEntry]:
    """Yield every entry of a file once, accepted or rejected. Other tasks run every few milliseconds.

    The pieces may end anywhere. `media_type` is used if the content does not show the format.
    Raises `LibraryUnreadable` for a file of another kind, and at the limits of `app.imports.entries`.
    """
    entries, time_slice = 0, TimeSlice(_STEP)
    async for steps in _parsed(_Library(media_type), pieces):
        for entry in steps:
            if entry is None:
                await time_slice.checkpoint()
                continue
            entries += 1
            if entries > MAX_ENTRIES:
                message = f"The file has more than {MAX_ENTRIES} entries. Import the rest from a second file."
                raise LibraryUnreadable(message)
            yield entry


async def _parsed(library: "_Library", pieces: AsyncIterable[bytes] | Iterable[bytes]) -> AsyncIterator[Steps]:
    if isinstance(pieces, AsyncIterable):
        async for piece in pieces:
            yield library.feed(piece)
    else:
        for piece in pieces:
            yield library.feed(piece)
    yield library.end()


class _Library:
    """Decodes a file and passes it to the parser of its format."""

    def __init__(self, media_type: str) -> None:
        self._media_type = media_type.partition(";")[0].strip().lower()
        self._decoder = TextDecoder()
        self._reader: LibraryReader | None = None
        self._start = ""
        self._bytes = 0

    def feed(self, piece: bytes) -> Steps:
        self._bytes += len(piece)
        if self._bytes > MAX_BYTES:
            raise LibraryUnreadable(f"The file has more than {MAX_BYTES} bytes. Import it in parts.")
        for text in self._decoder.feed(piece):
            yield from self._text(text)
            yield None

    def end(self) -> Steps:
        yield from self._text(self._decoder.end())
        if self._reader is None:
            self._reader = self._default()
            yield from self._reader.feed(self._start)
        yield from self._reader.end()

    def _text(self, text: str) -> Steps:
        if self._reader is not None:
            yield from self._reader.feed(text)
            return
        self._start += text
        self._reader = self._detected()
        if self._reader is not None:
            yield from self._reader.feed(self._start)

    def _detected(self) -> LibraryReader | None:
        if _OTHER.search(self._start[:_LOOKED_AT]):
            raise LibraryUnreadable("The file is neither BibTeX, RIS, CSL JSON nor a list of DOIs, arXiv ids or links.")
        found = next((reader for form, reader in _FORMS if form.search(self._start)), None)
        if found is not None:
            return found()
        return self._default() if len(self._start) > _LOOKED_AT else None

    def _default(self) -> LibraryReader:
        return _READERS.get(self._media_type, ListReader)()
