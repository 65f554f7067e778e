"""Folding and encoding of mail headers.

The standard library's folding is replaced where it is wrong: it turns a long link into encoded words, which mail
programs do not recognise as a link, and loses or adds spaces where a name mixes scripts.
"""

import re
from email.header import Header
from email.headerregistry import AddressHeader, HeaderRegistry
from email.message import EmailMessage
from email.policy import EmailPolicy
from functools import cache, lru_cache
from typing import Any, Final

_LINE: Final = 76
# These headers are not folded, because programs expect them on one line (RFC 5322: at most 998 octets).
_WHOLE: Final = frozenset(["list-unsubscribe", "list-unsubscribe-post", "list-id", "message-id"])
# These have the same value in most mails of a process; to parse and fold them took a quarter of a mail's time.
_REPEATED: Final = frozenset(
    ["auto-submitted", "content-transfer-encoding", "content-type", "list-id", "list-unsubscribe-post", "mime-version"]
)
_MAX_REPEATED: Final = 64
_PHRASE: Final = re.compile(r"[A-Za-z0-9 !#$%&'*+/^_`{|}~-]*")


class _Headers(HeaderRegistry):
    """Caches the class of each header. The standard library creates a new class for each value."""

    @cache  # noqa: B019  (there is one registry per process)
    def __getitem__(self, name: str) -> type:
        return super().__getitem__(name)


class MailPolicy(EmailPolicy):
    """The standard library's SMTP policy with our own header folding. All headers become ASCII."""

    def __init__(self) -> None:
        super().__init__(linesep="\r\n", message_factory=EmailMessage, header_factory=_Headers())

    def fold(self, name: str, value: Any) -> str:
        """Return the folded header with its line end."""
        match name.lower():
            case "subject":
                return f"{name}: {_encoded(str(value), name)}\r\n"
            case "from" | "to" if isinstance(value, AddressHeader):
                return f"{name}: {', '.join(_mailbox(a.display_name, a.addr_spec, name) for a in value.addresses)}\r\n"
            case whole if whole in _WHOLE:
                return f"{name}: {value}\r\n"
            case _:
                return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        """Return the same as bytes."""
        return _folded(name, value) if name.lower() in _REPEATED else self.fold(name, value).encode("ascii")

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        """Return the name and the parsed header. Raises `ValueError` for a value of several lines."""
        if name.lower() in _REPEATED and isinstance(value, str):
            return name, _parsed(name, value)
        return super().header_store_parse(name, value)


_POLICY: Final = MailPolicy()


@lru_cache(maxsize=_MAX_REPEATED)
def _parsed(name: str, value: str) -> Any:
    return EmailPolicy.header_store_parse(_POLICY, name, value)[1]


@lru_cache(maxsize=_MAX_REPEATED)
def _folded(name: str, value: str) -> bytes:
    return _POLICY.fold(name, value).encode("ascii")


def _mailbox(name: str, address: str, header: str) -> str:
    if not name:
        return address
    # In encoded words, commas and quotes have no special meaning.
    phrase = name if _PHRASE.fullmatch(name) else _utf8(name, header)
    one_line = "\n" not in phrase and len(header) + len(phrase) + len(address) < _LINE
    return f"{phrase} <{address}>" if one_line else f"{phrase}\r\n <{address}>"


def _encoded(text: str, header: str) -> str:
    if text.isascii():
        return Header(text, "us-ascii", maxlinelen=_LINE, header_name=header).encode(linesep="\r\n")
    return _utf8(text, header)


def _utf8(text: str, header: str) -> str:
    return Header(text, "utf-8", maxlinelen=_LINE, header_name=header).encode(linesep="\r\n")
