"""E-mail addresses: the validation rule, and `Mailbox`, which always contains a valid address."""

import re
from dataclasses import dataclass
from typing import Final, Self

import idna

from app.errors import PermanentError

MAX_ADDRESS: Final = 254
_MAX_LOCAL: Final = 64
# RFC 5322's dot-atom. Quoted local parts are legal but never used; non-ASCII ones need SMTPUTF8, which too few servers
# support. The last label of a host name begins with a letter: 192.0.2.1 is not a host name.
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_INNER: Final = r"(?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:[A-Za-z0-9]{_INNER}\.)*[A-Za-z]{_INNER}")
_NAMED: Final = re.compile(r"\s*\"?([^<>\"]*?)\"?\s*<([^<>]*)>\s*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class InvalidAddress(PermanentError, ValueError):
    """The e-mail address is not valid; the text says why."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An e-mail address in its stored form (internationalized domains as `xn--...`), and an arbitrary name.

    The constructor raises `InvalidAddress`.
    """

    address: str
    name: str = ""

    def __post_init__(self) -> None:
        """Replace the address by its checked form."""
        object.__setattr__(self, "address", checked_address(self.address))

    @property
    def domain(self) -> str:
        """The part after the @."""
        return self.address.rpartition("@")[2]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `Name <local@domain>` or `local@domain`. Raises `InvalidAddress`."""
        if _CONTROL.search(text):
            raise InvalidAddress(f"{text[:MAX_ADDRESS]!r} contains control characters")
        named = _NAMED.fullmatch(text)
        return cls(named[2], named[1]) if named else cls(text.strip())


def checked_address(address: str) -> str:
    """Return `address` in its stored form: the domain in lower case, an internationalized one as `xn--...`.

    The database enforces the same rule (`is_mail_address`). Raises `InvalidAddress`.
    """
    local, _, domain = address.rpartition("@")
    checked = f"{local}@{_ascii(domain).lower()}"
    if len(checked) > MAX_ADDRESS or len(local) > _MAX_LOCAL or not _ADDRESS.fullmatch(checked):
        raise InvalidAddress(f"{address[:MAX_ADDRESS]!r} is not a valid e-mail address such as ada@example.org")
    return checked


def _ascii(domain: str) -> str:
    if domain.isascii() or len(domain) > MAX_ADDRESS:
        return domain
    try:
        # IDNA 2008: the standard library's codec converts straße.de to another domain.
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain  # not ASCII, so the rule refuses it
