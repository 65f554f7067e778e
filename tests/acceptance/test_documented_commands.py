"""Every curl line of the README and of the documents for developers, run by a shell against a real API and worker."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.days import yesterday
from embedded.sample.server import serve_sample
from embedded.stack import Ready
from tests.support.processes import API_KEY, LONG_LEASE, api_process, start_api, worker_process

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "docs/API.md", "docs/READERS.md"]
LIBRARY = "@misc{a,\n title = {Storms},\n author = {Ada Lovelace}\n}\n"


def curl_lines(document: str) -> list[str]:
    """The curl lines of the document's shell blocks, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.startswith("curl ")]


@pytest.fixture
async def variables(stack: Ready, database: asyncpg.Connection) -> AsyncIterator[dict[str, str]]:  # noqa: ARG001  (resets the database)
    """The variables of the documents, for a running API and a worker that reads the sample sources."""
    links = {"PUBLIC_URL": "https://digest.example", "LINK_SECRET": "0123456789abcdef"}
    api = api_process(stack, ADMINS="default", **links)
    url = await start_api(api)
    async with serve_sample(yesterday()) as hosts:
        feeds = ",".join(f"{feed.name}={feed.url}" for feed in hosts.feeds)
        worker = worker_process(stack, ARXIV_BASE_URL=hosts.arxiv_base_url, FEEDS=feeds, **LONG_LEASE)
        await worker.start("worker started")
        yield {"API": url, "KEY": API_KEY, "PATH": os.environ["PATH"], "no_proxy": "*"}
        assert (await worker.stop(), await api.stop()) == (0, 0)


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_every_curl_line_of_a_document_works(document: str, variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "library.bib").write_text(LIBRARY, encoding="utf-8")
    lines = curl_lines(document)
    assert len(lines) >= 6
    for line in lines:
        process = await asyncio.create_subprocess_exec(
            "bash", "-euc", line, env=variables, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, (line, output)
        for name, key in (("TASK", "task_id"), ("READER", "reader_id"), ("IMPORT", "task_id")):
            found = re.search(rf'"{key}": ?"([0-9a-f-]{{36}})"', output.decode())
            if found:
                variables.setdefault(name, found[1])
