"""`make digest` and `make up` as processes, offline with the bundled sample: the files they write and their output."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from embedded.commands.digest import main
from embedded.loopback import free_port

ROOT = Path(__file__).parents[2]


def digest(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "embedded.commands", "digest", "--offline", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_digest_writes_page_and_data_and_prints_the_top_papers(tmp_path: Path, used_folder: Path) -> None:
    # Text that the terminal library would interpret as markup or as an emoji.
    profile = tmp_path / "odd.toml"
    profile.write_text('name = "Ada [/x] [red] :cat:"\ninterests = ["graph neural networks"]\n', encoding="utf-8-sig")
    result = digest("--date", "2026-03-05", "--out", tmp_path, "--folder", used_folder, "--profile", profile)
    assert result.returncode == 0, result.stdout + result.stderr
    page = (tmp_path / "digest-2026-03-05.html").read_text(encoding="utf-8")
    data = json.loads((tmp_path / "digest-2026-03-05.json").read_text(encoding="utf-8"))
    assert data["source_date"] == "2026-03-05"
    assert "<script" not in page
    assert "arXiv cannot be reached from here" in result.stdout
    assert "The best of 2026-03-05 for Ada [/x] [red] :cat:" in " ".join(result.stdout.split())
    # The output depends on the moments of the polls: on a slow machine each poll finds another status.
    assert re.search(r"^  (pending|running|waiting for the edition)", result.stdout, re.MULTILINE)
    log = (used_folder / "logs" / "digest.log").read_text(encoding="utf-8")
    assert set(re.findall(r"source_date=(\S+)", log)) == {"2026-03-05"}, "no other day delays the digest"


def test_digest_needs_no_profile_but_interests(tmp_path: Path, used_folder: Path) -> None:
    interests = ["--interests", "graph neural networks, symmetry", "--categories", "cs.RO"]
    result = digest("--date", "2026-03-04", "--out", tmp_path, "--folder", used_folder, *interests)
    assert result.returncode == 0, result.stdout + result.stderr
    data = json.loads((tmp_path / "digest-2026-03-04.json").read_text(encoding="utf-8"))
    assert data["profile"]["interests"] == ["graph neural networks", "symmetry"]
    assert result.stdout.splitlines()[0] == "loading the program"
    assert "The best of 2026-03-04 for you" in " ".join(result.stdout.split())
    assert "Gradient Descent Prefers Simple Symmetries" in [item["article"]["title"] for item in data["papers"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--interests", "a", "--profile", "b"], "make digest: PROFILE is set together with INTERESTS or CATEGORIES"),
        (["--date", "x;cmd"], "make digest: DATE: 'x;cmd' is not a date: use YYYY-MM-DD"),
        (["--profile", "no[/x]file.toml"], "no digest: the profile no[/x]file.toml cannot be read: No such file"),
    ],
)
def test_an_invalid_variable_is_reported_by_its_make_name(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: a new one imports the program for a second to print one line."""
    with suppress(SystemExit):
        assert main(["--offline", *arguments]) == 1
    assert message in "".join(capsys.readouterr())


async def test_up_prints_a_working_mail_page_and_curl_command(used_folder: Path) -> None:
    # Another test may run at the same time, and only one can listen on the default port.
    options = ["--offline", "--folder", str(used_folder), "--port", str(free_port())]
    command = [sys.executable, "-m", "embedded.commands", "up", *options]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = ""
    while "-d '" not in output:
        line = await process.stdout.readline()
        assert line, output
        output += line.decode()
    curl = re.search(r"curl -s -X POST (\S+) -H 'X-API-Key: (\S+)' .*?-d '(.*)'", output, re.DOTALL)
    assert curl is not None
    async with httpx.AsyncClient(trust_env=False) as http:
        headers = {"X-API-Key": curl[2], "Content-Type": "application/json"}
        answer = await http.post(curl[1], content=curl[3], headers=headers)
    assert answer.status_code == 202, answer.text
    while "a reader's page: " not in output:
        line = await process.stdout.readline()
        assert line, output
        output += line.decode()
    assert any((used_folder / "mailbox").glob("digest-*.eml")), output
    await give_feedback_on_the_first_item(output.partition("a reader's page: ")[2].split()[0])
    process.send_signal(signal.SIGINT)
    _, _ = await process.communicate()
    assert process.returncode == 0


async def give_feedback_on_the_first_item(page: str) -> None:
    """Press "More like this" at the first item of a reader's page, and then withdraw it."""
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as http:
        shown = (await http.get(page)).text
        form = re.search(r'action="(/r/home/[^"]+)".*?name="item" value="(\w+)"', shown, re.DOTALL)
        assert form is not None, shown
        for action, pressed in (("more", 1), ("unrate", 0)):
            answer = await http.post(urljoin(page, form[1]), data={"item": form[2], "do": action})
            assert answer.text.count('aria-pressed="true"') == pressed
