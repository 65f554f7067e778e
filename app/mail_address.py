"""Mail addresses: the one rule that says which are valid, and a `Mailbox`, which always holds a valid one."""

import re
from dataclasses import dataclass
from typing import Final, Self

import idna

from app.errors import PermanentError

MAX_ADDRESS: Final = 254
_MAX_LOCAL: Final = 64
# RFC 5322's dot-atom. Quoted names before the @ are legal and never used; what is not ASCII there needs SMTPUTF8,
# which too few servers speak to promise a mail. A host name's last label begins with a letter: 192.0.2.1 is no name.
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_INNER: Final = r"(?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:[A-Za-z0-9]{_INNER}\.)*[A-Za-z]{_INNER}")
_NAMED: Final = re.compile(r"\s*\"?([^<>\"]*?)\"?\s*<([^<>]*)>\s*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class InvalidAddress(PermanentError, ValueError):
    """Nobody can be written to at this address; the text says why."""

    title = "Invalid address"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address as it is sent (domains of other scripts become `xn--...`), and a name, which may be anything.

    Raises `InvalidAddress` when it is built from what is none.
    """

    address: str
    name: str = ""

    def __post_init__(self) -> None:
        """Put the checked address in the place of the given one."""
        object.__setattr__(self, "address", checked_address(self.address))

    @property
    def domain(self) -> str:
        """What stands after the @."""
        return self.address.rpartition("@")[2]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `Name <local@domain>` or the address alone. Raises `InvalidAddress`."""
        if _CONTROL.search(text):
            raise InvalidAddress(f"{text[:MAX_ADDRESS]!r} holds control characters")
        named = _NAMED.fullmatch(text)
        return cls(named[2], named[1]) if named else cls(text.strip())


def checked_address(address: str) -> str:
    """Return `address` as it is stored and sent: its domain in lower case and, of another script, as `xn--...`.

    The database checks the same rule (`is_mail_address`). Raises `InvalidAddress`.
    """
    local, _, domain = address.rpartition("@")
    checked = f"{local}@{_ascii(domain).lower()}"
    if len(checked) > MAX_ADDRESS or len(local) > _MAX_LOCAL or not _ADDRESS.fullmatch(checked):
        raise InvalidAddress(
            f"{address[:MAX_ADDRESS]!r} is not an address that mail can be sent to: write it as ada@example.org"
        )
    return checked


def _ascii(domain: str) -> str:
    if domain.isascii() or len(domain) > MAX_ADDRESS:
        return domain
    try:
        # IDNA 2008: the standard library's codec would turn straße.de into another domain.
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain  # the rule refuses it, as all that is not ASCII
