"""What is asked of Supabase about the papers that a caller sends: what is known of them, and what is kept."""

import asyncio
from typing import Any

import httpx
import pytest

from app.api import saved
from tests.integration.api.asking import api_before, asked_of, headers_of
from tests.integration.api.rows import ID, MOMENT, OTHER, PAPER, READER

PATH = f"/v1/readers/{ID}/papers"
BIBTEX = {"Content-Type": " Application/X-BibTeX ; charset=utf-8"}
MINE = ("GET readers", {"reader_id": f"eq.{ID}", "owner": "eq.ada", "limit": "1"})
WHOLE = {"title": "Of storms", "abstract": "They blow.", "liked": True}


async def post(*answers: Any, query: str = "", **sent: Any) -> tuple[httpx.Response, list[Any]]:
    headers = headers_of("ada") | sent.pop("headers", {})
    async with api_before(*answers) as (http, server):
        answer = await http.post(f"{PATH}{query}", headers=headers, **sent)
    return answer, asked_of(server)


async def test_papers_are_kept_in_their_order_with_what_is_said_of_each() -> None:
    papers = [WHOLE, WHOLE | {"title": "Of ice", "liked": None, "saved": True}]
    answer, asked = await post([READER], [OTHER, None], json={"papers": papers})
    assert (answer.status_code, answer.json()) == (200, {"paper_ids": [OTHER, None]})
    first, (function, parameters) = asked
    assert (first, function, parameters["p_reader"]) == (MINE, "put_reader_papers", ID)
    kept = [(row["title"], row["abstract"], row["liked"], row.get("saved")) for row in parameters["p_papers"]]
    assert kept == [("Of storms", "They blow.", True, None), ("Of ice", "They blow.", None, True)]


@pytest.mark.parametrize(
    ("query", "says"),
    [("", {"liked": True}), ("?said=disliked", {"liked": False}), ("?said=saved", {"saved": True})],
)
async def test_of_a_file_the_same_is_said_of_all_papers(query: str, says: dict[str, bool]) -> None:
    text = "".join(f"@misc{{k{n}, title={{Of {n}}}, abstract={{They blow.}}}}\n" for n in range(2))
    _answer, (_, (_, parameters)) = await post(
        [READER], [OTHER, OTHER], query=query, content=b"\xef\xbb\xbf" + text.encode(), headers=BIBTEX
    )
    rows = parameters["p_papers"]
    assert [row["title"] for row in rows] == ["Of 0", "Of 1"]
    assert [{name: row[name] for name in ("liked", "saved") if name in row} for row in rows] == [says, says]


PROBLEMS: list[tuple[dict[str, Any], str, str]] = [
    ({"content": b"", "headers": BIBTEX}, "body", "there is no entry: @article{key, ...}"),
    ({"content": b"{"}, "body", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
    ({"json": {"papers": [{"doi": "x", "liked": True}]}}, "body.papers.0.doi", "Value error, this is no DOI"),
    ({"json": {"papers": []}}, "body.papers", "List should have at least 1 item"),
]


@pytest.mark.parametrize(("sent", "location", "message"), PROBLEMS, ids=lambda each: str(each)[:30])
async def test_what_cannot_be_read_is_said_where_it_stands(sent: dict[str, Any], location: str, message: str) -> None:
    answer, asked = await post([READER], **sent)
    assert (answer.status_code, answer.json()["title"]) == (422, "Invalid request")
    (error,) = answer.json()["errors"]
    assert error["location"] == location
    assert error["message"].startswith(message)
    assert asked == [MINE]


async def test_a_file_in_another_encoding_is_said_to_be_one() -> None:
    answer, _asked = await post([READER], content=b"@misc{a, title={\xff}}", headers=BIBTEX)
    assert (answer.status_code, answer.json()["title"]) == (400, "Not UTF-8")
    assert answer.json()["detail"] == "The byte 16 is not UTF-8: save the file in that encoding."


async def test_whoever_sends_many_papers_or_reads_many_lets_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saved, "MAX_PAGE", 1)
    turns = 0

    async def taking_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.timeout(15):
        taking = asyncio.create_task(taking_turns())
        answer, _asked = await post([READER], [OTHER] * 50, json={"papers": [WHOLE] * 50})
        assert (answer.status_code, turns > 50) == (200, True)
        rows = [PAPER | {"saved_at": MOMENT}] * 2
        async with api_before([READER], *[rows] * 20, rows[:1]) as (http, _server):
            found = await http.get(f"/v1/readers/{ID}/saved.bib", headers=headers_of("ada"))
        assert found.text.count("title = {") == 21
        taking.cancel()
