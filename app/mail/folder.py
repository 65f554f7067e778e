"""Mails as `.eml` files in a folder, for development. Any mail program opens them."""

import os
import tempfile
from email.message import EmailMessage
from pathlib import Path
from typing import ClassVar

from app.mail.message import MessageKey, message_bytes
from app.mail.sender import NotSent, Sent, sender_id_of


class FolderSender:
    """Writes `<key>.eml` atomically. A mail with the same key replaces the file."""

    idempotent: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def sender_id(self) -> str:
        """The id of the folder: in another folder the mail would be a second file."""
        return sender_id_of("folder", str(self._folder.absolute()))

    async def send(self, message: EmailMessage, key: MessageKey) -> Sent:
        """Write the file; its path is the `provider_id`. Raises `NotSent` if the folder is not writable."""
        path = self._folder / f"{key}.eml"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(path, message_bytes(message))
        except OSError as error:
            raise NotSent(f"{path} cannot be written: {error.strerror}", transient=True) from error
        return Sent(str(path))


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
