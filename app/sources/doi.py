"""Parses DOIs as sources write them: bare, with a prefix, or as a link, or in a publisher's link."""

import re
from typing import Final
from urllib.parse import unquote

_MAX_LENGTH: Final = 300
_MAX_LINK: Final = 2_000
# Libraries' proxies write the host as doi-org.proxy.example.
_PREFIX = re.compile(
    r"(?:https?://)?(?:(?:dx\.|www\.)?doi[.-]org(?:\.[\w.-]{1,80})?|doi\.acm\.org|doi\.ieeecomputersociety\.org)/"
    r"|(?:info:doi/|doi\s?[:=]?\s{0,5})(?=10\.|https?:)",
    re.IGNORECASE,
)
_MARKUP: Final = str.maketrans("", "", "\u200b\u2060\ufeff")
_START: Final = r"10\.\d{4,9}(?:\.\d{1,9}){0,3}/"
# https://www.doi.org/doi-handbook/HTML/doi-name-syntax.html, limited to characters that registered DOIs have.
_DOI = re.compile(_START + r"[^\s\"<>{}|\\^`\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")
# The Serial Item and Contribution Identifier (ANSI/NISO Z39.56), of which Wiley and others made DOIs.
_SICI = re.compile(
    _START + r"[^\s\"<>{}|\\^`]{1,100}<[^\s\"<>{}|\\^`]{0,40}:[^\s\"<>{}|\\^`]{0,60}>\d\.\w\.\w{2};\d(?:-[!-;=?-~])?"
)
_IN_PATH = re.compile(
    r"/(?:doi|articles?|abstract|content|chapter|book|full|abs|pdf|epdf|pdfplus|reader|suppl)/("
    + _START
    + r"[^?#\s]{1,200})",
    re.IGNORECASE,
)
_BEHIND = re.compile(
    r"(?:/(?:full|abstract|pdf|epdf|meta|html|summary|citation)|\.full|\.pdf|\.html?|v\d{1,2}(?=$|\.full|/))+/?$",
    re.IGNORECASE,
)


def doi(text: str | None) -> str | None:
    """Return the DOI at the beginning of a text, in lower case and without a prefix; None if there is none."""
    text = (text or "")[:_MAX_LENGTH].translate(_MARKUP).strip()
    while prefix := _PREFIX.match(text):
        text = text[prefix.end() :]
        if "/" in prefix[0] and "info" not in prefix[0].lower():
            text = unquote(text.partition("?")[0].partition("#")[0])
    first = text.replace("&lt;", "<").replace("&gt;", ">").split(maxsplit=1)[:1]
    if not first:
        return None
    found = _SICI.fullmatch(first[0]) or _DOI.fullmatch(first[0].rstrip(".,;"))
    return found[0].lower() if found else None


def doi_in_link(url: str | None) -> str | None:
    """Return the DOI of a paper's page at its publisher, such as https://journal.example/doi/10.1000/1; else None."""
    url = (url or "")[:_MAX_LINK].strip()
    found = _IN_PATH.search(url)
    return doi(_BEHIND.sub("", unquote(found[1]))) if found else doi(url)
