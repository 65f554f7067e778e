"""The stored vector of a reader's paper: its words and counts. Needs no numpy, because the API also computes it."""

import base64
import struct
from collections import Counter
from typing import Final

from app.ranking.words import VERSION, Stems, is_english, term, words

MOST_TERMS: Final = 512
TERM_BYTES: Final = 4
MARK: Final = f"{VERSION}:"
"""The prefix of vectors of this version. Vectors with another prefix must be computed again."""
_MOST_COUNTED: Final = 255


def vector_of(title: str, abstract: str) -> str:
    """Return a paper's vector in ASCII: about 700 characters for a usual abstract.

    Format: `MARK`, then base64 of n terms (the CRC-32 of a stem, unsigned, 4 bytes, little-endian, ascending) and n
    counts of one byte. A longer text keeps its 512 most frequent stems. Weights are not stored, because the idf of a
    word depends on the day's articles.
    """
    found = words(f"{title} {abstract}")
    stems = Stems(english=is_english(found))
    counts = Counter(term(piece.stem) for word in found for piece in stems.pieces(word))
    kept = sorted(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_TERMS])
    terms = struct.pack(f"<{len(kept)}I", *(number for number, _ in kept))
    counted = bytes(min(count, _MOST_COUNTED) for _, count in kept)
    return f"{MARK}{base64.b64encode(terms + counted).decode('ascii')}" if kept else ""
