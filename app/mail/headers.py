"""How the headers of a mail are written: folded and encoded so that every mail program reads what was meant.

The standard library's own folding is not used where it goes wrong: it turns a long link into encoded words, which no
mail program takes for a link, and loses or adds spaces where scripts meet in a name.
"""

import re
from email.header import Header
from email.headerregistry import AddressHeader, HeaderRegistry
from email.message import EmailMessage
from email.policy import EmailPolicy
from functools import cache
from typing import Any, Final

_LINE: Final = 76
# Lines of RFC 5322 have at most 998 octets. These are never broken: programs look for them whole.
_WHOLE: Final = frozenset(["list-unsubscribe", "list-unsubscribe-post", "list-id", "message-id"])
_PHRASE: Final = re.compile(r"[A-Za-z0-9 !#$%&'*+/^_`{|}~-]*")


class _Headers(HeaderRegistry):
    """Makes the class of each header's values once: the standard library makes another one for each value."""

    @cache  # noqa: B019  (there is one registry, for as long as the process lasts)
    def __getitem__(self, name: str) -> type:
        return super().__getitem__(name)


class MailPolicy(EmailPolicy):
    """The standard library's policy for SMTP, with headers of our own folding; all of them become ASCII."""

    def __init__(self) -> None:
        super().__init__(linesep="\r\n", message_factory=EmailMessage, header_factory=_Headers())

    def fold(self, name: str, value: Any) -> str:
        """Return the whole header with its line end."""
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
        return self.fold(name, value).encode("ascii")


def _mailbox(name: str, address: str, header: str) -> str:
    if not name:
        return address
    # Encoded words keep commas, quotes and the like from meaning anything.
    phrase = name if _PHRASE.fullmatch(name) else _utf8(name, header)
    one_line = "\n" not in phrase and len(header) + len(phrase) + len(address) < _LINE
    return f"{phrase} <{address}>" if one_line else f"{phrase}\r\n <{address}>"


def _encoded(text: str, header: str) -> str:
    if text.isascii():
        return Header(text, "us-ascii", maxlinelen=_LINE, header_name=header).encode(linesep="\r\n")
    return _utf8(text, header)


def _utf8(text: str, header: str) -> str:
    return Header(text, "utf-8", maxlinelen=_LINE, header_name=header).encode(linesep="\r\n")
