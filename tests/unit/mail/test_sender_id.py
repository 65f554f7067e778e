"""The id of a sending account is unique to the account and contains no part of its key or password."""

import ssl
from pathlib import Path

import httpx

from app.config.mail_url import SmtpUrl
from app.mail.folder import FolderSender
from app.mail.resend import ResendSender
from app.mail.sender import MailLimits
from app.mail.smtp import SmtpSender

LIMITS = MailLimits()


async def sender_ids() -> list[str]:
    def smtp(password: str, username: str = "ada", port: int = 25) -> str:
        url = SmtpUrl("mx.example", port, False, username, password)
        return SmtpSender(url, LIMITS, ssl.create_default_context()).sender_id

    async with httpx.AsyncClient(trust_env=False) as http:
        resend = [ResendSender(http, key, LIMITS).sender_id for key in ("re_secret1", "re_secret2")]
    folders = [FolderSender(Path(name)).sender_id for name in ("/one", "/two")]
    return [*resend, *folders, smtp("secret1"), smtp("secret2", "eve"), smtp("secret3", port=26)]


async def test_each_account_has_its_own_stable_id() -> None:
    found = await sender_ids()
    assert len(set(found)) == len(found)
    assert await sender_ids() == found


async def test_an_id_contains_no_part_of_a_key() -> None:
    text = " ".join(await sender_ids())
    assert [part for part in ("secret", "re_", "ada", "mx.example", "one") if part in text] == []


def test_a_new_password_keeps_the_id_of_an_smtp_account() -> None:
    ids = {
        SmtpSender(SmtpUrl("mx.example", 25, False, "ada", word), LIMITS, ssl.create_default_context()).sender_id
        for word in ("old", "new")
    }
    assert len(ids) == 1
