"""A reader's papers over the API, on a real database: as JSON, all or none, and repeatable."""

from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.persistence.reader_papers import ReaderPapers
from tests.support.imports import MAX_PAPERS, fill_papers
from tests.support.items import ARXIV, copy, save
from tests.support.reader_calls import ADA

PAPERS: list[dict[str, Any]] = [
    {"arxiv_id": "https://arxiv.org/abs/2611.00001v3", "liked": True},
    {"doi": "https://doi.org/10.1038/X", "liked": False, "saved": True},
    {"title": "Of storms and <script>", "abstract": "They blow.", "authors": ["A. B."], "liked": True},
    {"arxiv_id": "math.GT/0309136", "saved": True},
]


@pytest.fixture
async def papers_of_ada(called: httpx.AsyncClient) -> str:
    made = await called.post("/v1/readers", json=ADA)
    return f"{made.headers['location']}/papers"


async def test_papers_are_stored_once_completed_listed_and_removed(
    called: httpx.AsyncClient,
    papers_of_ada: str,
    client: AsyncClient,
) -> None:
    await save(client, copy(**ARXIV, title="Radar reads ice", abstract="All of it."))
    first = await called.post(papers_of_ada, json={"papers": PAPERS})
    assert first.status_code == 200
    listed = (await called.get(papers_of_ada)).json()["papers"]
    assert (await called.post(papers_of_ada, json={"papers": PAPERS})).json() == first.json()
    assert (await called.get(papers_of_ada)).json()["papers"] == listed
    assert [paper["paper_id"] for paper in reversed(listed)] == first.json()["paper_ids"]
    old, manual, by_doi, known = listed
    assert (known["title"], known["lookup"], known["origin"], known["liked"]) == (
        "Radar reads ice",
        None,
        "arxiv",
        True,
    )
    assert (by_doi["doi"], by_doi["lookup"], by_doi["liked"]) == ("10.1038/x", "pending", False)
    assert (manual["title"], manual["origin"]) == ("Of storms and <script>", "manual")
    assert (old["arxiv_id"], old["lookup"], old["liked"]) == ("math/0309136", "pending", None)
    page = (await called.get(papers_of_ada, params={"saved": True, "limit": 1})).json()
    rest = (await called.get(papers_of_ada, params={"saved": True, "cursor": page["next_cursor"]})).json()
    assert {each["paper_id"] for each in page["papers"] + rest["papers"]} == {old["paper_id"], by_doi["paper_id"]}
    assert (await called.get(papers_of_ada, params={"cursor": "x"})).status_code == 400
    assert (await called.delete(f"{papers_of_ada}/{old['paper_id']}")).status_code == 204
    assert (await called.delete(f"{papers_of_ada}/{old['paper_id']}")).status_code == 404
    back = [{"arxiv_id": "2611.00001", "liked": None}, {"doi": "10.1038/x", "saved": False}]
    assert (await called.post(papers_of_ada, json={"papers": back})).json()["paper_ids"] == [None, by_doi["paper_id"]]


async def test_a_paper_has_the_given_and_the_known_identifiers(
    called: httpx.AsyncClient,
    papers_of_ada: str,
    client: AsyncClient,
) -> None:
    await save(client, copy(**ARXIV, title="Radar reads ice", abstract="All of it.", doi="10.1038/ice"))
    for given in ({"arxiv_id": "2611.00001"}, {"doi": "10.1038/ice"}):
        (paper_id,) = (await called.post(papers_of_ada, json={"papers": [given | {"liked": True}]})).json()["paper_ids"]
        (paper,) = (await called.get(papers_of_ada)).json()["papers"]
        assert (paper["arxiv_id"], paper["doi"]) == ("2611.00001", "10.1038/ice")
        assert (await called.delete(f"{papers_of_ada}/{paper_id}")).status_code == 204


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b" " * 2_000_001, {}, 413),
        (b"{", {}, 422),
        (b"[" * 100_000, {}, 422),
        (b'{"papers": [{"arxiv_id": "2611.00001"}]}', {}, 422),
        (b'{"papers": [{"liked": true}]}', {}, 422),
        (b'{"papers": [{"arxiv_id": "x", "liked": true}]}', {}, 422),
        (b'{"papers": [{"title": " \\u0000", "liked": true}]}', {}, 422),
    ],
)
async def test_an_unreadable_body_is_a_problem_document(
    content: bytes,
    headers: dict[str, str],
    status: int,
    called: httpx.AsyncClient,
    papers_of_ada: str,
) -> None:
    answer = await called.post(papers_of_ada, content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text


async def test_at_the_limit_the_stored_papers_stay(
    called: httpx.AsyncClient,
    papers_of_ada: str,
    client: AsyncClient,
    database: asyncpg.Connection,
) -> None:
    await fill_papers(database, UUID(papers_of_ada.split("/")[-2]), MAX_PAPERS - 1)
    assert (await called.post(papers_of_ada, json={"papers": [{"doi": "10.1038/1", "liked": True}]})).is_success
    full = await called.post(papers_of_ada, json={"papers": PAPERS})
    assert (full.status_code, "at most 20000 papers" in full.json()["detail"]) == (409, True)
    said = await ReaderPapers(client).feedback_on(
        UUID(papers_of_ada.split("/")[-2]), [["doi:10.1038/1"], ["doi:10.1038/x"]]
    )
    assert [each.liked for each in said] == [True, None]
