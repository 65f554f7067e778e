"""Redaction of payloads and URLs for operators: keys, tokens and the parts of URLs that open something are hidden."""

import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

HIDDEN: Final = "[hidden]"
MAX_LENGTH: Final = 20_000
"""Characters of a shown payload."""

MAX_DEPTH: Final = 20

_SECRET_NAME: Final = re.compile(
    r"(^|[_-])(api)?(key|token|secret|password|passwd|authorization|signature|cookie|credential)s?$", re.IGNORECASE
)
_SECRET_VALUE: Final = re.compile(
    r"\b(?:sk|rk|re|pk|sb_secret|sb_publishable|whsec|ghp|xox[a-z])[-_][\w+/=-]{8,}"  # keys with a prefix
    # JSON Web Tokens. The lookbehind keeps the search linear in texts such as eyJ-eyJ-eyJ-...
    r"|(?<![\w-])eyJ[\w-]++\.[\w-]++\.[\w-]+"
    r"|\b(?:Bearer|Basic)\s+[\w.+/=~-]{8,}"
)
_URL: Final = re.compile(r"\bhttps?://[^\s\"'<>]+", re.IGNORECASE)
_RANDOM: Final = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w.~%=+-]{16,}|[\w.~%=+-]{32,}")
"""Matches a part of a path that looks like a token, as in the addresses of chat programs' webhooks."""


def payload_text(payload: dict[str, Any]) -> str:
    """Return a payload as indented JSON without secrets, cut to `MAX_LENGTH` characters."""
    text = json.dumps(redacted(payload), indent=2, ensure_ascii=False)
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}\n\N{HORIZONTAL ELLIPSIS}"


def redacted(value: Any, depth: int = 0) -> Any:
    """Return a JSON value without secrets: by their names, their forms, and in URLs. E-mail addresses stay."""
    if depth > MAX_DEPTH:
        return "\N{HORIZONTAL ELLIPSIS}"
    match value:
        case dict():
            return {
                redacted_text(name): HIDDEN if each and _SECRET_NAME.search(name) else redacted(each, depth + 1)
                for name, each in value.items()
            }
        case list():
            return [redacted(each, depth + 1) for each in value]
        case str():
            return redacted_text(value)
        case _:
            return value


def redacted_text(text: str) -> str:
    """Return a text without secrets."""
    return _SECRET_VALUE.sub(HIDDEN, _URL.sub(lambda found: redacted_url(found[0]), text))


def redacted_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, and without parts of its path that look like tokens."""
    try:
        parts = urlsplit(url)
        place = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return HIDDEN
    path = "/".join(HIDDEN if _RANDOM.fullmatch(each) else each for each in parts.path.split("/"))
    rest = f"?{HIDDEN}" if parts.query or parts.fragment else ""
    return f"{parts.scheme}://{f'{HIDDEN}@' if '@' in parts.netloc else ''}{place}{path}{rest}"
