"""Parses MAIL_URL: a mail server, Resend, or a folder. No text or repr contains a password or key."""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

_SUBMISSION: Final = 587
_IMPLICIT_TLS: Final = 465
_KEY: Final = re.compile(r"[\x21-\x7e]+")
_HOST: Final = re.compile(r"[A-Za-z0-9.:-]+")


@dataclass(frozen=True, slots=True)
class SmtpUrl:
    """A mail server; with `implicit_tls` (smtps) the connection starts with TLS."""

    host: str
    port: int
    implicit_tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def requires_starttls(self) -> bool:
        """Whether STARTTLS is required: always, except on the local machine."""
        return not self.implicit_tls and not _is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class ResendUrl:
    """The mail provider Resend, with its API key."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FolderUrl:
    """A folder that receives one file per mail."""

    path: Path


MailUrl = SmtpUrl | ResendUrl | FolderUrl


def parse_mail_url(text: str) -> MailUrl:
    """Parse MAIL_URL. Raises `ValueError`, whose text contains no part of the value: it may contain a password."""
    scheme, _, rest = text.partition(":")
    match scheme.lower():
        case "folder" if rest and "\0" not in rest:
            return FolderUrl(Path(rest))
        case "resend" if _KEY.fullmatch(rest):
            return ResendUrl(rest)
        case "smtp" | "smtps":
            return _smtp(text, implicit_tls=scheme.lower() == "smtps")
        case "folder" | "resend":
            raise ValueError("the part after the colon is missing or invalid")
        case _:
            raise ValueError("it must begin with smtp:, smtps:, resend: or folder:")


def _smtp(text: str, *, implicit_tls: bool) -> SmtpUrl:
    try:
        parts = urlsplit(text)
        port = parts.port or (_IMPLICIT_TLS if implicit_tls else _SUBMISSION)
        host = parts.hostname
    except ValueError:
        # The library's message would quote the value.
        raise ValueError("host or port is invalid; encode @, : and / in a password as %40, %3A and %2F") from None
    if not host or not _HOST.fullmatch(host):
        raise ValueError("it has no host")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("nothing may follow host and port; encode / ? and # in a password as %2F, %3F and %23")
    username, password = _login(parts)
    return SmtpUrl(host, port, implicit_tls, username, password)


def _login(parts: SplitResult) -> tuple[str | None, str | None]:
    if parts.username is None:
        return None, None
    if not parts.username or parts.password is None:
        raise ValueError("a login needs a name and a password, as in user:password@host")
    return unquote(parts.username), unquote(parts.password)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
