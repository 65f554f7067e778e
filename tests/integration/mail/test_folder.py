"""Mails as files: complete, named by their key, written once."""

import email
import email.policy
from pathlib import Path

import httpx
import pytest

from app.config.mail_url import parse_mail_url
from app.mail.folder import FolderSender
from app.mail.open_sender import open_mail_sender
from app.mail.sender import MailLimits, NotSent, Sent
from tests.support.smtp_server import Postbox, key_of, mail_to


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_each_mail_is_one_file_replaced_under_the_same_key(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "mailbox"
    sender = FolderSender(folder)
    path = folder / f"{key_of()}.eml"
    assert await sender.send(mail_to(text="first"), key_of()) == Sent(str(path))
    await sender.send(mail_to(2), key_of(2))
    await sender.send(mail_to(), key_of())
    assert names_in(folder) == sorted([path.name, f"{key_of(2)}.eml"])
    assert path.read_bytes() == mail_to().as_bytes()
    parsed = email.message_from_bytes(path.read_bytes(), policy=email.policy.strict)
    assert parsed["Subject"] == "Ice remembers"


async def test_an_unwritable_folder_keeps_no_partial_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotSent, match="cannot be written") as caught:
        await FolderSender(tmp_path / "file").send(mail_to(), key_of())
    assert caught.value.transient
    (tmp_path / f"{key_of()}.eml").mkdir()
    with pytest.raises(NotSent):
        await FolderSender(tmp_path).send(mail_to(), key_of())
    assert names_in(tmp_path) == sorted(["file", f"{key_of()}.eml"])


async def test_every_form_of_the_setting_opens_a_sender(tmp_path: Path, postbox: Postbox) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        async with open_mail_sender(parse_mail_url(f"folder:{tmp_path}"), http, MailLimits()) as folder:
            assert folder.idempotent
            await folder.send(mail_to(), key_of())
        async with open_mail_sender(parse_mail_url("resend:re_123"), http, MailLimits()) as resend:
            assert resend.idempotent
        url = parse_mail_url(f"smtp://localhost:{postbox.port}")
        async with open_mail_sender(url, http, MailLimits()) as smtp:
            assert not smtp.idempotent
            await smtp.send(mail_to(), key_of())
    assert postbox.taken == [(tmp_path / f"{key_of()}.eml").read_bytes()]
