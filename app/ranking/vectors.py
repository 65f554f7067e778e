"""A paper's words in the form in which they are stored with a reader. It needs no numpy: the API makes them too."""

import base64
import struct
from collections import Counter
from typing import Final

from app.ranking.words import VERSION, Stems, is_english, term, words

MOST_TERMS: Final = 512
TERM_BYTES: Final = 4
MARK: Final = f"{VERSION}:"
"""With which the words of this normalisation begin; what begins otherwise is to be made again."""
_MOST_COUNTED: Final = 255


def vector_of(title: str, abstract: str) -> str:
    """Return a paper's words as they are stored, in ASCII: some 700 characters for a usual abstract.

    `MARK`, and base64 of n terms (the CRC-32 of a stem, unsigned, 4 bytes, little-endian, ascending) and n counts of
    one byte. Of a longer text, the 512 most frequent stems. Weights are not stored: how rare a word is, the day's
    articles say.
    """
    found = words(f"{title} {abstract}")
    stems = Stems(english=is_english(found))
    counts = Counter(term(piece.stem) for word in found for piece in stems.pieces(word))
    kept = sorted(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_TERMS])
    terms = struct.pack(f"<{len(kept)}I", *(number for number, _ in kept))
    counted = bytes(min(count, _MOST_COUNTED) for _, count in kept)
    return f"{MARK}{base64.b64encode(terms + counted).decode('ascii')}" if kept else ""
