"""arXiv identifiers in both forms, with or without the version: 2201.13452v1, nucl-ex/0408020v1."""

import re
from typing import Final

ABSTRACT_PAGE: Final = "https://arxiv.org/abs/"
PDF_PAGE: Final = "https://arxiv.org/pdf/"

# https://info.arxiv.org/help/arxiv_identifier.html
_MAX_LENGTH: Final = 2_000
_ID = re.compile(
    r"(?:^|/abs/|/pdf/|arXiv(?:\.org)?:)(?P<id>\d{4}\.\d{4,5}|[a-z][a-z-]{1,20}(?:\.[A-Z]{2})?/\d{7})(?:v\d{1,4})?(?:\.pdf)?$"
)


def arxiv_id(text: str) -> str | None:
    """Return the identifier without its version, from an id, an `oai:` name or a page's URL; None if there is none."""
    found = _ID.search(text.strip()) if len(text) <= _MAX_LENGTH else None
    return found["id"] if found else None
