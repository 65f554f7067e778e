"""Libraries over the API, on a real database with a real worker: 202 with a task, progress, a report, and limits."""

import json
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.errors import SupabaseUnavailable
from app.models.tasks import TaskKind
from app.persistence.uploads import Uploads
from tests.support.bibtex import SOUND
from tests.support.importer import import_handler
from tests.support.imports import bibtex
from tests.support.items import ARXIV, copy, save
from tests.support.reader_calls import ADA
from tests.support.running_worker import StartWorker

BIBTEX = {"Content-Type": " Application/X-BibTeX ; charset=utf-8"}
WAIT = {"Prefer": "wait=30"}
LEFT = "select (select count(*) from public.uploads) + (select count(*) from public.upload_pieces)"
FORMATS = {
    "application/x-bibtex": "@misc{a, title={Of storms}}\n@misc{b, year=1}",
    "application/x-research-info-systems": "TY  - JOUR\nTI  - Of storms\nER  - \nTY  - JOUR\nER  - \n",
    "application/vnd.citationstyles.csl+json": json.dumps([{"title": "Of storms"}, {"id": "b"}]),
    "application/json": json.dumps([{"title": "Of storms"}, {"id": "b"}]),
    "text/plain": "10.1038/storms\nneither\n",
    "application/octet-stream": "@misc{a, title={Of storms}}\n@misc{b, year=1}",
}


@pytest.fixture
async def papers_of_ada(called: httpx.AsyncClient) -> str:
    made = await called.post("/v1/readers", json=ADA)
    return f"{made.headers['location']}/papers"


@pytest.fixture
async def working(client: AsyncClient, start_worker: StartWorker) -> None:
    """A worker that imports."""
    await start_worker({TaskKind.IMPORT: import_handler(client)})


async def imported(called: httpx.AsyncClient, path: str, content: str | bytes, **sent: Any) -> dict[str, Any]:
    """Post a library and wait for the end of its import."""
    headers = sent.pop("headers", BIBTEX) | WAIT
    answer = await called.post(path, content=content, headers=headers, **sent)
    assert answer.status_code == 202, answer.text
    task: dict[str, Any] = answer.json()
    assert answer.headers["location"] == task["url"] == f"/v1/imports/{task['task_id']}"
    assert task["status"] == "completed", task
    return task


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize("media_type", FORMATS)
async def test_each_format_is_imported(media_type: str, called: httpx.AsyncClient, papers_of_ada: str) -> None:
    content, headers = FORMATS[media_type], {"Content-Type": media_type}
    task = await imported(called, papers_of_ada, content, headers=headers)
    report = (await called.get(task["url"])).json()["report"]
    assert report == task["report"]
    (rejection,) = report.pop("rejections")
    assert report == {"entries": 2, "accepted": 1, "already_there": 0, "rejected": 1, "unread": None}
    assert rejection["reason"]
    again = await imported(called, papers_of_ada, content, headers=headers)
    assert (again["report"]["accepted"], again["report"]["already_there"]) == (0, 1)


@pytest.mark.usefixtures("working")
async def test_what_can_be_read_is_imported_with_its_feedback(called: httpx.AsyncClient, papers_of_ada: str) -> None:
    task = await imported(called, papers_of_ada, SOUND + "@misc{lost, year=1}")
    counts = [task["report"][name] for name in ("entries", "accepted", "rejected")]
    assert counts == [4, 3, 1]
    assert task["report"]["rejections"][0] | {"reason": ""} == {"line": 8, "key": "lost", "reason": ""}
    (brown,) = [each for each in (await called.get(papers_of_ada)).json()["papers"] if each["abstract"]]
    assert (brown["arxiv_id"], brown["liked"], brown["saved_at"]) == ("2005.14165", True, None)
    await imported(called, papers_of_ada, SOUND, params={"feedback": "saved"})
    assert len((await called.get(papers_of_ada, params={"saved": True})).json()["papers"]) == 3
    await imported(called, papers_of_ada, SOUND, params={"feedback": "disliked"})
    listed = (await called.get(papers_of_ada)).json()["papers"]
    assert {paper["liked"] for paper in listed} == {False}


PUBLISHED = r"""@article{storms, title={Of storms}, author={Roe, Jane}, journal={J. Storms \& Rain}, volume={12},
  number={3}, pages={377--386}, year={2002}, month=may, doi={10.1038/storms}}
@article{ice, title={Of ice}, journal={Ice}, year={2020}, eprint={2611.00001}, archiveprefix={arXiv}}
"""


@pytest.mark.usefixtures("working")
async def test_a_publication_is_stored_and_exported(
    called: httpx.AsyncClient,
    papers_of_ada: str,
    client: AsyncClient,
) -> None:
    await save(client, copy(**ARXIV, title="Radar reads ice", abstract="All of it."))
    for _ in range(2):
        await imported(called, papers_of_ada, PUBLISHED, params={"feedback": "saved"})
    reader = papers_of_ada.removesuffix("/papers")
    ice, storms = sorted((await called.get(f"{reader}/saved.bib")).text.split("\n\n"))
    for field in (
        r"journal = {J. Storms \& Rain}",
        "volume = {12}",
        "number = {3}",
        "pages = {377--386}",
        "year = {2002},\n  month = may",
    ):
        assert f"  {field},\n" in storms
    assert storms.startswith("@article{roe2002storms,")
    assert ("journal = {Ice}" in ice, "year = {2020}" in ice, "month" in ice) == (True, True, False)
    assert "title = {{Radar reads ice}}" in ice
    exported = (await called.get(f"{reader}/saved.ris")).text
    for line in ("TY  - JOUR", "T2  - J. Storms & Rain", "VL  - 12", "IS  - 3", "SP  - 377", "EP  - 386"):
        assert f"{line}\n" in exported
    assert [line for line in exported.splitlines() if line.startswith("DA")] == ["DA  - 2002/05"]


async def test_a_repeated_request_returns_the_first_import(
    called: httpx.AsyncClient, papers_of_ada: str, database: asyncpg.Connection
) -> None:
    key = BIBTEX | {"Idempotency-Key": "library"}
    first = await called.post(papers_of_ada, content=SOUND, headers=key)
    again = await called.post(papers_of_ada, content=SOUND, headers=key)
    assert first.json()["task_id"] == again.json()["task_id"]
    other = await called.post(papers_of_ada, content=SOUND + "@misc{x, title={X}}", headers=key)
    assert (other.status_code, other.json()["title"]) == (422, "Idempotency key reused")
    busy = await called.post(papers_of_ada, content=SOUND, headers=BIBTEX)
    assert (busy.status_code, busy.json()["title"]) == (409, "Import in progress")
    assert first.json()["task_id"] in busy.json()["detail"]
    assert await database.fetchval(LEFT) == 2
    cancelled = await called.post(f"{first.json()['url']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert await database.fetchval(LEFT) == 0


async def test_a_caller_with_too_many_uploads_waits(called: httpx.AsyncClient, database: asyncpg.Connection) -> None:
    paths = [(await called.post("/v1/readers", json={"name": f"R{n}"})).headers["location"] for n in range(5)]
    await database.execute(
        "insert into public.uploads (upload_id, owner, reader_id)"
        " select gen_random_uuid(), 'default', r from unnest($1::uuid[]) as r",
        [path.rsplit("/", 1)[-1] for path in paths[:4]],
    )
    answer = await called.post(f"{paths[4]}/papers", content=SOUND, headers=BIBTEX)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")


async def test_an_empty_file_is_refused_and_leaves_nothing(
    called: httpx.AsyncClient, papers_of_ada: str, database: asyncpg.Connection
) -> None:
    answer = await called.post(papers_of_ada, content=b"", headers=BIBTEX)
    assert (answer.status_code, answer.json()["title"]) == (422, "Empty file")
    assert await database.fetchval(LEFT) == 0


async def test_a_failure_of_the_database_leaves_no_upload(
    called: httpx.AsyncClient, papers_of_ada: str, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Uploads.append

    async def failing(uploads: Uploads, upload_id: UUID, number: int, piece: bytes) -> None:
        await append(uploads, upload_id, number, piece)
        if number == 1:
            raise SupabaseUnavailable("gone")

    monkeypatch.setattr(Uploads, "append", failing)
    answer = await called.post(papers_of_ada, content=bibtex(3_000), headers=BIBTEX)
    assert answer.status_code == 503
    assert await database.fetchval(LEFT) == 0


async def test_an_end_is_reported_only_where_callbacks_can_go(
    called: httpx.AsyncClient, papers_of_ada: str, database: asyncpg.Connection
) -> None:
    hook = {"callback_url": "https://example.com/hook"}
    answer = await called.post(papers_of_ada, content=SOUND, headers=BIBTEX, params=hook)
    assert (answer.status_code, answer.json()["title"]) == (422, "Callbacks are not configured")
    assert await database.fetchval(LEFT) == 0


async def test_another_readers_papers_cannot_be_imported(called: httpx.AsyncClient) -> None:
    answer = await called.post(f"/v1/readers/{UUID(int=1)}/papers", content=SOUND, headers=BIBTEX)
    assert answer.status_code == 404


async def test_an_import_is_found_only_as_an_import(called: httpx.AsyncClient, papers_of_ada: str) -> None:
    task = (await called.post(papers_of_ada, content=SOUND, headers=BIBTEX)).json()
    assert task["reader_id"] == papers_of_ada.split("/")[-2]
    listed = (await called.get("/v1/tasks", params={"kind": "import"})).json()["tasks"]
    assert [each["task_id"] for each in listed] == [task["task_id"]]
    assert (await called.get(f"/v1/digests/{task['task_id']}")).status_code == 404
