"""arXiv identifiers in both forms, with or without the version: 2201.13452v1, nucl-ex/0408020v1."""

import re
from typing import Final

ABSTRACT_PAGE: Final = "https://arxiv.org/abs/"
PDF_PAGE: Final = "https://arxiv.org/pdf/"

# https://info.arxiv.org/help/arxiv_identifier.html
_MAX_LENGTH: Final = 2_000
_NAME: Final = r"(?P<id>\d{4}\.\d{4,5}|[a-z][a-z-]{1,20}(?:\.[A-Z]{2})?/\d{7})(?:v\d{1,4})?"
_ID = re.compile(rf"(?:^|/abs/|/pdf/|arXiv(?:\.org)?:){_NAME}(?:\.pdf)?$")
_MENTIONED = re.compile(
    rf"(?:\barxiv(?:\.org)?(?:\s?preprint)?[\s:/]{{1,3}}|arxiv\.org/(?:abs|pdf|html)/|(?:^|\s)abs/|\barxiv\.)(?:arxiv:)?{_NAME}(?![\w/.]*\d)",
    re.IGNORECASE,
)


def arxiv_id(text: str) -> str | None:
    """Return the identifier without its version, from an id, an `oai:` name or a page's URL; None if there is none."""
    found = _ID.search(text.strip()) if len(text) <= _MAX_LENGTH else None
    return found["id"] if found else None


def mentioned_arxiv_id(text: str) -> str | None:
    """Return the identifier that a text names as arXiv's: `arXiv:2005.14165 [cs]`, or CoRR's `abs/2005.14165`."""
    text = text[:_MAX_LENGTH]
    found = _MENTIONED.search(text)
    return found["id"] if found else arxiv_id(text)
