"""`make readers`: its report and exit status."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from embedded.stack import Ready
from worker.readers import main

FILE = """
[[reader]]
key = "ada"
name = "Ada"

[[reader]]
key = "bob"
name = "Bob"
timezone = "Mars/Olympus_Mons"
"""


@pytest.fixture
def project(stack: Ready, database_reset: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  (run first)
    monkeypatch.setenv("SUPABASE_URL", stack.url)
    monkeypatch.setenv("SUPABASE_KEY", stack.secret_key)


def run(folder: Path, text: str, *options: str) -> int:
    file = folder / "readers.toml"
    file.write_text(text, encoding="utf-8")
    return main([*options, "--", str(file)])


@pytest.mark.usefixtures("project")
def test_the_program_applies_its_file(tmp_path: Path) -> None:
    file = tmp_path / "readers.toml"
    file.write_text(FILE, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "worker.readers", "--owner=team", "--", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith("file     1 created, 0 changed, 0 unchanged, 1 refused\nline 6: ")


@pytest.mark.usefixtures("project")
def test_a_refused_reader_is_reported_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, FILE) == 1
    summary, refused = capsys.readouterr().out.splitlines()
    assert summary == "file     1 created, 0 changed, 0 unchanged, 1 refused"
    assert (
        refused == "line 6: the reader 'bob' is refused: 'Mars/Olympus_Mons' is not a time zone such as Europe/Berlin"
    )


@pytest.mark.usefixtures("project")
def test_readers_that_left_the_file_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, FILE.replace("Mars/Olympus_Mons", "UTC")) == 0
    (only_ada,) = [FILE.partition("\n\n")[0]]
    capsys.readouterr()
    for options, note in (([], "still active, --prune pauses them"), (["--prune"], "paused")):
        assert run(tmp_path, only_ada, *options) == 0
        summary, gone = capsys.readouterr().out.splitlines()
        assert summary.endswith(f"; 1 no longer in the file ({note})")
        assert gone == "no longer in the file: bob"
    assert run(tmp_path, only_ada) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.usefixtures("project")
def test_an_invalid_file_is_reported_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "[[reader]]\nkey = 5\n") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "line 2: key is 5: use 1 to 200 letters" in output.err


@pytest.mark.usefixtures("project")
def test_readers_who_deleted_their_data_are_reported(
    stack: Ready, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = FILE.replace("Mars/Olympus_Mons", "UTC")
    with psycopg.connect(stack.database_url, autocommit=True) as database:
        database.execute("select public.mark_erased('default', 'bob', null)")
    for counts in ("1 created, 0 changed, 0 unchanged", "0 created, 0 changed, 1 unchanged"):
        assert run(tmp_path, file) == 0
        summary, erased = capsys.readouterr().out.splitlines()
        assert summary == f"file     {counts}, 0 refused; 1 deleted by the reader, not created again"
        assert erased == "line 6: the reader 'bob' was deleted by the reader, not created again"


@pytest.mark.usefixtures("project")
def test_a_reader_that_must_confirm_needs_the_links_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[[reader]]\nkey = "ada"\nname = "Ada"\nemail = "ada@example.org"\nconfirm = true\n'
    assert run(tmp_path, text) == 1
    assert "set PUBLIC_URL and LINK_SECRET" in capsys.readouterr().err
    monkeypatch.setenv("PUBLIC_URL", "https://digest.example.org")
    monkeypatch.setenv("LINK_SECRET", "0123456789abcdef")
    for outcome in ("1 created, 0 changed, 0 unchanged", "0 created, 0 changed, 1 unchanged"):
        assert run(tmp_path, text) == 0
        assert outcome in capsys.readouterr().out
