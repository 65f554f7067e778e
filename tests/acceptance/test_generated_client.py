"""A client that a common generator makes from docs/openapi.json, used on a running API."""

import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.days import yesterday
from embedded.sample.server import serve_sample
from embedded.stack import Ready
from scripts.openapi import DOCUMENT
from tests.support.applications import described_paths
from tests.support.processes import API_KEY, LONG_LEASE, api_process, start_api, worker_process

CONFIG = DOCUMENT.parent / "openapi-client.yml"
PACKAGE = "broadsheet_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The generated package, which can be imported; a warning of the generator is an error."""
    folder = tmp_path_factory.mktemp("client")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    command += ["--path", str(DOCUMENT), "--config", str(CONFIG), "--output-path", str(folder / PACKAGE)]
    made = subprocess.run(command, check=False, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(folder)
        yield folder / PACKAGE


def operation(tag: str, name: str) -> Any:
    """A route of the generated client."""
    return importlib.import_module(f"{PACKAGE}.api.{tag}.{name}")


def model(name: str) -> Any:
    """A model of the generated client."""
    return getattr(importlib.import_module(f"{PACKAGE}.models"), name)


def test_the_generated_client_has_every_route(generated: Path) -> None:
    made = {path.stem for path in (generated / "api").glob("*/*.py")} - {"__init__"}
    assert made == {each["operationId"] for item in described_paths().values() for each in item.values()}


@pytest.fixture
async def client(stack: Ready, database: asyncpg.Connection, generated: Path) -> AsyncIterator[Any]:  # noqa: ARG001  (they are there)
    """The generated client of a running API, beside a worker that reads the sample sources."""
    api = api_process(stack, ADMINS="default")
    made = importlib.import_module(PACKAGE).AuthenticatedClient(
        base_url=await start_api(api), token=API_KEY, prefix="", auth_header_name="X-API-Key", timeout=90
    )
    async with serve_sample(yesterday()) as hosts:
        feeds = ",".join(f"{feed.name}={feed.url}" for feed in hosts.feeds)
        worker = worker_process(stack, ARXIV_BASE_URL=hosts.arxiv_base_url, FEEDS=feeds, **LONG_LEASE)
        await worker.start("worker started")
        async with made as client:
            yield client
        assert (await worker.stop(), await api.stop()) == (0, 0)


async def test_a_generated_client_posts_and_reads_a_digest(client: Any) -> None:
    profile = model("ProfileRequest")(name="Ada", interests=["graph neural networks"])
    body = model("DigestRequest")(profile=profile, max_papers=3)
    posted = await operation("digests", "create_digest").asyncio(client=client, body=body, idempotency_key="once")
    repeated = await operation("digests", "create_digest").asyncio(client=client, body=body, idempotency_key="once")
    assert repeated.task_id == posted.task_id
    get_digest = operation("digests", "get_digest")
    response = await get_digest.asyncio_detailed(posted.task_id, client=client, prefer="wait=60", include="result")
    assert response.headers["preference-applied"] == "wait=60"
    assert (response.parsed.status.value, response.parsed.progress) == ("completed", 1.0)
    assert 1 <= len(response.parsed.digest.papers) <= 3
    page = await operation("digests", "get_digest_page").asyncio(posted.task_id, client=client)
    assert page.lower().startswith("<!doctype html>")
    events = await operation("digests", "watch_digest").asyncio(posted.task_id, client=client)
    assert "event: end" in events
    listed = await operation("tasks", "list_tasks").asyncio(client=client, kind=model("TaskKind").DIGEST)
    assert ([each.task_id for each in listed.tasks], listed.next_cursor) == ([posted.task_id], None)


async def test_a_generated_client_posts_a_fetch_and_reads_the_day(client: Any) -> None:
    posted = await operation("fetches", "create_fetch").asyncio(client=client, body=model("FetchRequest")())
    done = await operation("fetches", "get_fetch").asyncio(posted.task_id, client=client, prefer="wait=60")
    assert done.status.value == "completed"
    edition = await operation("editions", "get_edition").asyncio(yesterday(), client=client)
    assert edition.status.value == "completed"
    cancelled = await operation("fetches", "cancel_fetch").asyncio(posted.task_id, client=client)
    assert cancelled.status.value == "completed"


async def test_a_generated_client_keeps_readers_and_papers(client: Any) -> None:
    reader = await made_reader(client)
    patch = operation("readers", "change_reader").asyncio
    changed = await patch(reader.reader_id, client=client, body=model("ReaderChange")(name="Ada L."))
    assert (changed.name, changed.email) == ("Ada L.", "ada@example.org")
    paper = model("PapersRequest").from_dict({"papers": [{"title": "Storms", "saved": True}]})
    kept = await operation("readers", "put_papers").asyncio(reader.reader_id, client=client, body=paper)
    papers = await operation("readers", "list_papers").asyncio(reader.reader_id, client=client)
    assert [each.paper_id for each in papers.papers] == kept.paper_ids
    saved = await operation("readers", "get_saved").asyncio_detailed(reader.reader_id, client=client)
    assert b"Storms" in saved.content
    exported = await operation("readers", "export_readers").asyncio_detailed(client=client)
    lines = importlib.import_module(f"{PACKAGE}.types").File(payload=exported.content)
    report = await operation("readers", "import_readers").asyncio(client=client, body=lines)
    assert (report.created, report.unchanged, report.refused) == (0, 1, [])
    await operation("readers", "remove_reader").asyncio_detailed(reader.reader_id, client=client)
    assert (await operation("readers", "list_readers").asyncio(client=client)).readers == []


async def test_a_generated_client_operates_and_reads_problems(client: Any) -> None:
    kind = model("TaskKind").FETCH
    pause = operation("admin", "pause_kind").asyncio
    paused = await pause(kind, client=client, body=model("PauseRequest")(reason="arXiv is moving"))
    assert paused.kind == "fetch"
    assert (await operation("admin", "get_overview").asyncio(client=client)).kinds
    resumed = await operation("admin", "resume_kind").asyncio(kind, client=client)
    assert resumed.ended_at is not None
    problem = await operation("digests", "get_digest").asyncio(UUID(int=0), client=client)
    assert (problem.status, problem.title) == (404, "Task not found")


async def made_reader(client: Any) -> SimpleNamespace:
    body = model("ReaderRequest")(name="Ada", external_id="ada", email="ada@example.org")
    reader: SimpleNamespace = await operation("readers", "create_reader").asyncio(client=client, body=body)
    return reader
