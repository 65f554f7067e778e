"""`make daily SAMPLE=1` as a process, from an empty folder: a mail, and then none."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from embedded.commands.daily import main
from tests.support.reader_mails import body, mail_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(stack_folder: Path) -> Iterator[Path]:
    """The folder of the command's database, which an unprivileged PostgreSQL can enter."""
    folder = stack_folder / uuid4().hex
    yield folder
    shutil.rmtree(folder)


def daily(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "embedded.commands", "daily", "--sample", "--folder", str(folder), *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_an_empty_folder_gets_one_mail_and_a_second_run_none(folder: Path) -> None:
    interests = ("--interests", "graph neural networks, robustness", "--categories", "cs.RO")
    status, output = daily(folder, *interests)
    assert status == 0, output
    (file,) = (folder / "mailbox").glob("digest-*.eml")
    mail = mail_of(file.read_bytes())
    assert f"mail: {file}" in output
    assert "invented papers and news, marked as samples" in output
    assert "arxiv: 38 items of " in output
    assert str(mail["Subject"]).startswith("[Sample] ")
    assert "SAMPLE EDITION" in body(mail, "plain")
    assert "/r/" not in body(mail, "html")
    status, output = daily(folder, *interests)
    assert status == 0, output
    assert output.splitlines()[-1] == "No mail was sent: nothing is new."
    assert list((folder / "mailbox").iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], 'make daily: set INTERESTS="a, b" (and CATEGORIES, EMAIL), or READERS=file.toml'),
        (["--readers", "x", "--email", "a@b.c"], "make daily: READERS is set together with INTERESTS, CATEGORIES or"),
        (["--interests", "x" * 101], "no mail: INTERESTS and CATEGORIES are not valid: interests, entry 1, is longer"),
        (["--interests", "a", "--email", "nobody"], "email is 'nobody': use an e-mail address such as ada@example.org"),
        (["--readers", "none.toml"], "no mail: The readers file none.toml cannot be read: No such file or directory"),
    ],
)
def test_an_invalid_variable_is_named_before_anything_starts(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: a new one imports the program for a second to print one line."""
    with suppress(SystemExit):
        assert main(["--sample", "--folder", str(tmp_path), *arguments]) == 1
    assert message in "".join(capsys.readouterr())
    assert not (tmp_path / "sample").exists()
