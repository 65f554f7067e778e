"""Creates the mail sender that MAIL_URL selects."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_never

import httpx

from app.config.mail_url import FolderUrl, MailUrl, ResendUrl, SmtpUrl
from app.mail.folder import FolderSender
from app.mail.resend import ResendSender
from app.mail.sender import MailLimits, MailSender
from app.mail.smtp import SmtpSender


@asynccontextmanager
async def open_mail_sender(
    url: MailUrl, http: httpx.AsyncClient, limits: MailLimits, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[MailSender]:
    """Yield the sender for `url` and close it at the end.

    `http` is the process's client for external services. `tls` verifies mail servers; the default trusts the system's
    authorities.
    """
    match url:
        case FolderUrl(path):
            yield FolderSender(path)
        case ResendUrl(key):
            yield ResendSender(http, key, limits)
        case SmtpUrl():
            smtp = SmtpSender(url, limits, tls or ssl.create_default_context())
            try:
                yield smtp
            finally:
                smtp.close()
        case _:
            assert_never(url)
