"""The media types of libraries: which bodies are imported as files."""

from typing import Final

JSON: Final = "application/json"
BIBTEX: Final = "application/x-bibtex"
LIBRARY_TYPES: Final = {
    BIBTEX: "BibTeX",
    "application/x-research-info-systems": "RIS",
    "application/vnd.citationstyles.csl+json": "CSL JSON",
    "text/plain": "a list with a DOI, an arXiv id or a link per line",
}
"""The types in the API's description. Also accepted: other names of these types, and octet-stream."""
LIBRARY_ALIASES: Final = frozenset(
    {"text/x-bibtex", "application/bibtex", "text/x-research-info-systems", "application/octet-stream"}
)


def media_type_of(content_type: str) -> str:
    """Return a Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_library(media_type: str) -> bool:
    """Whether a body of this type is a library."""
    return media_type in LIBRARY_TYPES or media_type in LIBRARY_ALIASES
