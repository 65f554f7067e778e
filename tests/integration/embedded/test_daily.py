"""`make daily` in this process: without a source it sends nothing; with MAIL_URL it sends by that server."""

import io
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from embedded.commands import daily as command
from embedded.commands.daily import DailyOptions, MailSettings, daily, shown_line
from embedded.commands.terminal import Terminal
from tests.support.reader_mails import mails
from tests.support.smtp_server import Postbox

READERS = """
[[reader]]
key = "ada"
name = "Ada"
email = "ada@example.org"
interests = ["graph neural networks"]
categories = ["cs.RO"]
"""


@pytest.fixture
def folder(stack_folder: Path) -> Iterator[Path]:
    folder = stack_folder / uuid4().hex
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


async def run(folder: Path, mail: MailSettings, *, sample: bool) -> tuple[int, str]:
    readers = folder / "readers.toml"
    readers.write_text(READERS, encoding="utf-8")
    output = io.StringIO()
    wait = None if sample else "1s"
    options = DailyOptions(readers, prune=False, sample=sample, wait=wait, folder=folder)
    return await daily(options, mail, Terminal(file=output)), output.getvalue()


async def test_without_a_source_there_is_no_mail_but_the_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []

    @asynccontextmanager
    async def nowhere(_day: date, *, live: bool, categories: Sequence[str]) -> AsyncIterator[dict[str, str]]:
        assert live
        asked.append(categories)
        yield {"ARXIV_BASE_URL": "http://127.0.0.1:9", "FEEDS": "one=http://127.0.0.1:9/rss"}

    monkeypatch.setattr(command, "source_settings", nowhere)
    status, output = await run(folder, MailSettings(_env_file=None), sample=False)
    assert status == 1
    assert asked == [["cs.RO"]]
    assert "digest postponed: no source could be read for " in output
    assert f"log: {folder / 'daily.log'}" in output
    assert not (folder / "mailbox").exists()


async def test_with_a_mail_server_the_mails_go_there(folder: Path) -> None:
    async with Postbox().serve() as box:
        values: dict[str, Any] = {"mail_url": f"smtp://127.0.0.1:{box.port}", "mail_from": "me@example.org"}
        status, output = await run(folder, MailSettings(_env_file=None, **values), sample=True)
    assert status == 0, output
    (mail,) = mails(box)
    assert mail["From"] == "me@example.org"
    assert mail["List-Unsubscribe"] == "<mailto:me@example.org?subject=Unsubscribe>"
    assert not (folder / "mailbox").exists()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Done.", "Done."),
        ('{"event": "run begins", "due_readers": 3}', "  3 reader(s) due"),
        ('{"event": "source read", "source": "arxiv", "articles": 9, "source_date": "D"}', "  arxiv: 9 items of D"),
        ('{"event": "source failed", "source": "arxiv", "error": "down"}', "  arxiv: down"),
        ('{"event": "run continues", "digests_written": 2, "mails_sent": 1}', "  2 digest(s) written, 1 mail(s) sent"),
        ('{"event": "worker started"}', None),
        ('{"event": "cut', None),
    ],
)
def test_the_log_becomes_progress(line: str, shown: str | None) -> None:
    assert shown_line(line) == shown
    if line.startswith("{") and line.endswith("}"):
        json.loads(line)
