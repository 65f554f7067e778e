"""An address to write to or from, with the name beside it; a `Mailbox` always holds one that was checked."""

import re
from dataclasses import dataclass
from typing import Final, Self

import idna

from app.errors import PermanentError

MAX_ADDRESS: Final = 254
_MAX_LOCAL: Final = 64
# RFC 5322's dot-atom. Quoted names before the @ are legal and never used; what is not ASCII there needs SMTPUTF8,
# which too few servers speak to promise a mail.
_LOCAL: Final = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
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
        object.__setattr__(self, "address", _checked(self.address))

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


def _checked(address: str) -> str:
    local, at, domain = address.rpartition("@")
    if not at or len(address) > MAX_ADDRESS or len(local) > _MAX_LOCAL or not _LOCAL.fullmatch(local):
        raise InvalidAddress(f"{address[:MAX_ADDRESS]!r} is no address that can be written to, such as ada@example.org")
    try:
        # IDNA 2008: the standard library's codec would turn straße.de into another domain.
        ascii_domain = idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise InvalidAddress(f"{address!r} has no valid domain after the @") from error
    return f"{local}@{ascii_domain}"
