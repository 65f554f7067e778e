"""`make digest` and `make up` as processes, offline on the bundled sample: what they write, and what they say."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin

import httpx

ROOT = Path(__file__).parents[2]


def digest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "embedded.commands.digest", "--offline", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_digest_writes_the_page_and_its_data_and_shows_the_best(tmp_path: Path) -> None:
    result = digest("--date", "2026-03-04", "--out", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    page = (tmp_path / "digest-2026-03-04.html").read_text(encoding="utf-8")
    data = json.loads((tmp_path / "digest-2026-03-04.json").read_text(encoding="utf-8"))
    assert data["source_date"] == "2026-03-04"
    assert "<script" not in page
    assert "arXiv cannot be reached from here" in result.stdout
    assert "The best of 2026-03-04 for Ada" in result.stdout
    # How far it was, as often as it was looked at: on a slow machine each look finds something else.
    assert re.search(r"^  (pending|running|waiting for the edition)", result.stdout, re.MULTILINE)


def test_bad_profile_is_named_with_every_wrong_entry(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text('title = "x"\ninterests = "not a list"\nfavourite = 1\n', encoding="utf-8")
    result = digest("--profile", str(profile))
    said = " ".join(result.stdout.split())
    assert result.returncode == 1
    assert "name: Field required" in said
    assert "favourite: Extra inputs are not permitted" in said


async def test_up_prints_a_curl_line_that_works_a_mail_and_a_page_with_working_votes_and_ends_with_ctrl_c() -> None:
    command = [sys.executable, "-m", "embedded.commands.up", "--offline", "--port", "0", "--stack-port", "0"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = ""
    while "-d '" not in said:
        line = await process.stdout.readline()
        assert line, said
        said += line.decode()
    curl = re.search(r"curl -s -X POST (\S+) -H 'X-API-Key: (\S+)' .*?-d '(.*)'", said, re.DOTALL)
    assert curl is not None
    async with httpx.AsyncClient(trust_env=False) as http:
        headers = {"X-API-Key": curl[2], "Content-Type": "application/json"}
        answer = await http.post(curl[1], content=curl[3], headers=headers)
    assert answer.status_code == 202, answer.text
    while "a reader's page: " not in said:
        line = await process.stdout.readline()
        assert line, said
        said += line.decode()
    assert any((ROOT / ".local" / "mailbox").glob("digest-*.eml")), said
    await vote_for_the_first_item(said.partition("a reader's page: ")[2].split()[0])
    process.send_signal(signal.SIGINT)
    _, _ = await process.communicate()
    assert process.returncode == 0


async def vote_for_the_first_item(page: str) -> None:
    """Press "More like this" at the first item of a reader's page, and take it back."""
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as http:
        shown = (await http.get(page)).text
        form = re.search(r'action="(/r/place/[^"]+)".*?name="item" value="(\w+)"', shown, re.DOTALL)
        assert form is not None, shown
        for saying, pressed in (("more", 1), ("unrate", 0)):
            answer = await http.post(urljoin(page, form[1]), data={"item": form[2], "do": saying})
            assert answer.text.count("aria-pressed") == pressed
